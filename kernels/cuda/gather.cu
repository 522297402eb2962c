// Bound by memory: a row is read and written once, in the widest words; a row that many positions ask for comes from
// the level-2 cache.
//
// An index outside the table is an error of the data, to be refused before the step. From here nothing can be refused:
// such a row becomes all ones in binary, in floats NaN, which the step's checks find.
#include "kernels/cuda/gather.h"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/row_column.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/words.cuh"

namespace millrace::cuda {
namespace {

template <typename Word>
__device__ __forceinline__ Word AllOnes() {
  if constexpr (sizeof(Word) == sizeof(Word16)) {
    return {{~0u, ~0u, ~0u, ~0u}};
  } else {
    return static_cast<Word>(~Word{0});
  }
}

template <typename Word, typename Index>
__global__ void GatherKernel(GatherCall call, int64_t words) {
  const Word* table = static_cast<const Word*>(call.table);
  Word* y = static_cast<Word*>(call.y);
  for (int64_t i = FirstElement<1>(); i < call.count * words; i += GridStride<1>()) {
    const RowColumn at = RowColumnOf<Index>(i, words);
    const int64_t row = call.indices[at.row];
    y[i] = row >= 0 && row < call.rows ? table[row * words + at.column] : AllOnes<Word>();
  }
}

}  // namespace

Code LaunchGather(const GatherCall& call, StreamHandle stream) {
  const uint64_t numbers = Address(call.table) | Address(call.y) | static_cast<uint64_t>(call.row_bytes);
  return ForWord(numbers, [&]<typename Word>(TypeTag<Word>) {
    const int64_t words = call.row_bytes / static_cast<int64_t>(sizeof(Word));
    return ForIndexType(call.count * words, [&]<typename Index>(TypeTag<Index>) {
      return LaunchKernel(GatherKernel<Word, Index>, ForElements(call.count * words, 1), stream, call, words);
    });
  });
}

}  // namespace millrace::cuda
