// Bound by memory: parameter, gradient and both moments are read and written, 32 bytes per element in f32, 28 with
// 16-bit parameters, 34 with a master of theirs; a skipped step writes the gradient's zeros, 4 bytes. The factors are
// made by one thread before, on the device, because the learning rate, the clipping and whether to skip stand there.
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// The widest accesses are those of the f32 states.
constexpr int kFloats = kAccessBytes / sizeof(float);

__global__ void AdamWFactorsKernel(const double* hyper, bool decays, AdamWFactors* factors) {
  if (threadIdx.x == 0) *factors = AdamWFactorsOf(hyper, decays);
}

template <typename T, int N>
__global__ void AdamWKernel(AdamWCall call) {
  const AdamWFactors f = *call.factors;
  T* params = static_cast<T*>(call.param);
  const float zeros[N] = {};
  for (int64_t i = FirstElement<N>(); i < call.elements; i += GridStride<N>()) {
    const int64_t left = call.elements - i;
    if (!f.skip) {
      float p[N], g[N], m[N], v[N];
      if (call.has_master) {
        LoadUpTo(call.master + i, left, p);
      } else {
        LoadUpTo(params + i, left, p);
      }
      LoadUpTo(call.grad + i, left, g);
      LoadUpTo(call.m + i, left, m);
      LoadUpTo(call.v + i, left, v);
#pragma unroll
      for (int k = 0; k < N; ++k) AdamWStep(f, g[k], &p[k], &m[k], &v[k]);
      if (call.has_master) StoreUpTo(p, left, call.master + i);
      StoreUpTo(p, left, params + i);
      StoreUpTo(m, left, call.m + i);
      StoreUpTo(v, left, call.v + i);
    }
    StoreUpTo(zeros, left, call.grad + i);
  }
}

}  // namespace

Code LaunchAdamW(const AdamWCall& call, StreamHandle stream) {
  if (call.elements == 0) return kSuccess;
  Launch one;
  one.blocks = 1;
  one.threads = kWarp;
  const Code code = LaunchKernel(AdamWFactorsKernel, one, stream, call.hyper, call.decays, call.factors);
  if (code != kSuccess) return code;
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool wide =
        VectorElements(1, {Address(call.param), Address(call.master), Address(call.grad), Address(call.m),
                           Address(call.v)}) > 1;
    return LaunchKernel(wide ? AdamWKernel<T, kFloats> : AdamWKernel<T, 1>,
                        ForElements(call.elements, wide ? kFloats : 1), stream, call);
  });
}

}  // namespace millrace::cuda
