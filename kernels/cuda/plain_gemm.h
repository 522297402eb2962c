// A matrix product of any strides: what stands in where cuBLASLt has nothing (odd sizes of some types, k of 0).
#ifndef KERNELS_CUDA_PLAIN_GEMM_H_
#define KERNELS_CUDA_PLAIN_GEMM_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct PlainMatrix {
  const void* memory = nullptr;
  int64_t row = 0, column = 0, batch = 0;  // strides in elements
};

// D = alpha A B + beta C in float32, in order of k. C has D's layout, may be D, and is not read when beta is 0.
struct PlainGemmCall {
  int64_t m = 0, n = 0, k = 0;
  Element in, out;  // f32, bf16, f16; out: the same, or f32
  float alpha = 1, beta = 0;
  PlainMatrix a, b;
  const void* c = nullptr;
  void* d = nullptr;
  int64_t d_row = 0, d_stride = 0, batch = 1;
};
Code LaunchPlainGemm(const PlainGemmCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_PLAIN_GEMM_H_
