// Launch geometry: how many blocks of how many threads, how many elements one access moves. Pure functions of sizes and
// addresses. Never of the number of multiprocessors, so that the same shape is the same work on every GPU.
#ifndef KERNELS_CUDA_LAUNCH_H_
#define KERNELS_CUDA_LAUNCH_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace millrace::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kThreads = 256;       // of a block that only streams memory
inline constexpr int kMostThreads = 1024;  // of any block
inline constexpr int kAccessBytes = 16;    // the widest load and store of one thread
inline constexpr int64_t kMostGridX = 0x7fffffff;
inline constexpr int64_t kMostGridYZ = 65535;
// Blocks beyond this many stride over the rest: a grid is large enough to fill any GPU and small enough to start fast.
inline constexpr int64_t kMostStridingBlocks = int64_t{1} << 20;

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

struct Launch {
  int64_t blocks = 0;  // gridDim.x
  int blocks_y = 1, blocks_z = 1;
  int threads = 0;       // blockDim.x
  int shared_bytes = 0;  // dynamic; beyond 48 KiB the kernel's attribute must be raised first
  bool empty() const { return blocks == 0 || blocks_y == 0 || blocks_z == 0; }
};

// Elements of `element_bytes` that one thread moves at once: 16 bytes' worth when all addresses (and, for rows that are
// not contiguous with the next, the rows' lengths in bytes) are multiples of 16, else one.
inline int VectorElements(int element_bytes, std::initializer_list<uint64_t> addresses_and_strides) {
  for (uint64_t value : addresses_and_strides) {
    if (value % kAccessBytes != 0) return 1;
  }
  return kAccessBytes / element_bytes;
}
inline uint64_t Address(const void* memory) { return reinterpret_cast<uint64_t>(memory); }

// For kernels in which thread t takes elements [t * per_thread, (t + 1) * per_thread), then strides by the whole grid.
inline Launch ForElements(int64_t elements, int per_thread) {
  Launch launch;
  launch.threads = kThreads;
  launch.blocks = std::min(CeilDiv(elements, int64_t{kThreads} * per_thread), kMostStridingBlocks);
  return launch;
}

// For kernels in which a group of threads takes a row, then strides by the number of groups in the grid. The group is a
// warp for short rows, a block for long ones; which one depends on the columns alone, as the order of a row's sum does.
struct RowLaunch {
  Launch launch;
  int threads_per_row = 0;  // kWarp, or launch.threads
  int rows_per_block() const { return launch.threads / threads_per_row; }
};
// `most_threads`: of a block, for kernels that want more than 64 registers of a thread.
inline RowLaunch ForRows(int64_t rows, int64_t columns, int per_thread, int most_threads = kMostThreads) {
  RowLaunch shape;
  const int64_t accesses = CeilDiv(std::max<int64_t>(columns, 1), per_thread);
  if (accesses <= 4 * kWarp) {
    shape.threads_per_row = kWarp;
    shape.launch.threads = 4 * kWarp;
  } else {
    // Whole warps, a power of two of them, about four accesses a thread.
    int threads = 4 * kWarp;
    while (threads < most_threads && accesses > int64_t{4} * threads) threads *= 2;
    shape.threads_per_row = shape.launch.threads = threads;
  }
  shape.launch.blocks = std::min(CeilDiv(rows, int64_t{shape.rows_per_block()}), kMostStridingBlocks);
  return shape;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_LAUNCH_H_
