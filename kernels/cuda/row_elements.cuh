// The part of a row that one thread of its group works on, for kernels that need it several times.
#ifndef KERNELS_CUDA_ROW_ELEMENTS_CUH_
#define KERNELS_CUDA_ROW_ELEMENTS_CUH_

#include <cstdint>
#include <initializer_list>

#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {

// Threads of a block that keeps a row in registers: twice as many would leave a thread 64 registers.
inline constexpr int kRowThreads = 512;
// Accesses of one thread that are kept; ForRows chooses the threads so that all but very long rows fit.
inline constexpr int kKeptAccesses = 4;

// Is a row of `columns` elements, N to an access, kept whole by its group?
constexpr bool RowIsKept(int64_t columns, int per_access, int threads_per_row) {
  return columns <= int64_t{kKeptAccesses} * per_access * threads_per_row;
}

// Which row a group of threads has, and which of its elements one thread: accesses of N elements, a group's width
// apart.
struct RowThread {
  int64_t columns;
  int thread, threads;

  template <int N>
  __device__ __forceinline__ int64_t column(int64_t access) const {
    return (access * threads + thread) * N;
  }
};

// Reads `row` once where it is kept, else once per ForEach, from the level-2 cache.
template <typename T, int N, bool kept>
class RowElements {
 public:
  __device__ __forceinline__ RowElements(const T* row, const RowThread& part) : row_(row), part_(part) {
    if constexpr (kept) {
#pragma unroll
      for (int i = 0; i < kKeptAccesses; ++i) {
        const int64_t j = part.column<N>(i);
        if (j < part.columns) LoadUpTo(row + j, part.columns - j, kept_[i]);
      }
    }
  }

  // use(values, j): elements j ... j + N - 1 of the row, zeros behind its end.
  template <typename Use>
  __device__ __forceinline__ void ForEach(const Use& use) const {
    if constexpr (kept) {
#pragma unroll
      for (int i = 0; i < kKeptAccesses; ++i) {
        const int64_t j = part_.column<N>(i);
        if (j < part_.columns) use(kept_[i], j);
      }
    } else {
      for (int64_t j = part_.column<N>(0); j < part_.columns; j += static_cast<int64_t>(part_.threads) * N) {
        float values[N];
        LoadUpTo(row_ + j, part_.columns - j, values);
        use(values, j);
      }
    }
  }

  // use(values, others, j) with the same part of another row.
  template <typename Use>
  __device__ __forceinline__ void ForEachWith(const RowElements& other, const Use& use) const {
    if constexpr (kept) {
#pragma unroll
      for (int i = 0; i < kKeptAccesses; ++i) {
        const int64_t j = part_.column<N>(i);
        if (j < part_.columns) use(kept_[i], other.kept_[i], j);
      }
    } else {
      for (int64_t j = part_.column<N>(0); j < part_.columns; j += static_cast<int64_t>(part_.threads) * N) {
        float values[N], others[N];
        LoadUpTo(row_ + j, part_.columns - j, values);
        LoadUpTo(other.row_ + j, part_.columns - j, others);
        use(values, others, j);
      }
    }
  }

 private:
  const T* row_;
  const RowThread part_;
  float kept_[kept ? kKeptAccesses : 1][N];
};

// launch.operator()<T, N, kept>(shape) for rows of floats of `type`; `addresses` are those of all tensors that are read
// or written in accesses of N elements. Rows without 16-byte accesses are not kept: one template less for what is rare.
template <typename Launcher>
Code LaunchRows(Element type, int64_t rows, int64_t columns, std::initializer_list<uint64_t> addresses,
                const Launcher& launch) {
  return ForFloatType(type, [&]<typename T>(TypeTag<T>) {
    const bool wide = columns * sizeof(T) % kAccessBytes == 0 && VectorElements(sizeof(T), addresses) > 1;
    const RowLaunch shape = ForRows(rows, columns, wide ? kPerAccess<T> : 1, kRowThreads);
    if (!wide) return launch.template operator()<T, 1, false>(shape);
    return RowIsKept(columns, kPerAccess<T>, shape.threads_per_row)
               ? launch.template operator()<T, kPerAccess<T>, true>(shape)
               : launch.template operator()<T, kPerAccess<T>, false>(shape);
  });
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ROW_ELEMENTS_CUH_
