// SGD with momentum on a flat shard.
#ifndef KERNELS_CUDA_SGD_H_
#define KERNELS_CUDA_SGD_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct SgdCall {
  Element type;  // of the parameters: f32, bf16 or f16; everything else is f32
  bool has_master = false;
  int64_t elements = 0;
  bool decays = false;
  const double* hyper = nullptr;
  void* param = nullptr;
  float* master = nullptr;  // what is stepped, where there is one; the parameters are its rounded copy
  float* grad = nullptr;  // left zeroed
  float* momentum = nullptr;
};
Code LaunchSgd(const SgdCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_SGD_H_
