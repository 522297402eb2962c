// AdamW on a flat shard.
#ifndef KERNELS_CUDA_ADAMW_H_
#define KERNELS_CUDA_ADAMW_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/optimizer_math.h"

namespace millrace::cuda {

struct AdamWCall {
  Element type;  // of the parameters: f32, bf16 or f16; everything else is f32
  bool has_master = false;
  int64_t elements = 0;
  bool decays = false;
  const double* hyper = nullptr;
  void* param = nullptr;
  float* master = nullptr;  // what is stepped, where there is one; the parameters are its rounded copy
  float* grad = nullptr;  // left zeroed
  float* m = nullptr;
  float* v = nullptr;
  AdamWFactors* factors = nullptr;  // scratch: one
};
Code LaunchAdamW(const AdamWCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ADAMW_H_
