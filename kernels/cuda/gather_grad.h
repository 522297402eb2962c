// GatherGrad: rows added to the rows of a table, without atomics.
#ifndef KERNELS_CUDA_GATHER_GRAD_H_
#define KERNELS_CUDA_GATHER_GRAD_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

// Positions are numbered in 32 bits.
inline constexpr int64_t kMostPositions = int64_t{1} << 30;
constexpr int64_t GatherGradScratch(int64_t count) { return static_cast<int64_t>(sizeof(int32_t)) * count; }

struct GatherGradCall {
  Element type;  // of dy: f32, bf16 or f16
  int64_t rows = 0, columns = 0;
  int64_t count = 0;
  const void* dy = nullptr;          // [count, columns]
  const int64_t* indices = nullptr;  // [count]; one outside [0, rows) is passed over
  int32_t* links = nullptr;          // GatherGradScratch bytes
  float* table = nullptr;            // [rows, columns], added to
};
Code LaunchGatherGrad(const GatherGradCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_GATHER_GRAD_H_
