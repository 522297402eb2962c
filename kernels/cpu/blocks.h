// Work divided into blocks by its shape alone (the rule of cpu_stream.h).
#ifndef KERNELS_CPU_BLOCKS_H_
#define KERNELS_CPU_BLOCKS_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/cpu_stream.h"

namespace millrace::cpu {

// Elements that one task of a memory-bound kernel works on: some microseconds, and three operands fit the second-level
// cache.
inline constexpr int64_t kElementsPerTask = 32768;

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

// How many rows of `columns` elements make one task.
inline int64_t RowsPerTask(int64_t columns) {
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, columns));
}

// Calls work(begin, end) for [0, block), [block, 2 block), ... up to total, in parallel.
template <typename Work>
void ForBlocks(Stream& stream, int64_t total, int64_t block, const Work& work) {
  static_cast<CpuStream&>(stream).ParallelFor(
      CeilDiv(total, block), [&](int64_t task) { work(task * block, std::min(total, (task + 1) * block)); });
}

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_BLOCKS_H_
