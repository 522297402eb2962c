// Bound by memory: parameter, gradient and momentum are read and written, 24 bytes per element in f32, 20 with 16-bit
// parameters, 26 with a master of theirs. The factors need no powers, so every thread makes its own from the cached `hyper`.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/optimizer_math.h"
#include "kernels/cuda/sgd.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// The widest accesses are those of the f32 states.
constexpr int kFloats = kAccessBytes / sizeof(float);

template <typename T, int N>
__global__ void SgdKernel(SgdCall call) {
  const SgdFactors f = SgdFactorsOf(call.hyper, call.decays);
  T* params = static_cast<T*>(call.param);
  const float zeros[N] = {};
  for (int64_t i = FirstElement<N>(); i < call.elements; i += GridStride<N>()) {
    const int64_t left = call.elements - i;
    if (!f.skip) {
      float p[N], g[N], u[N];
      if (call.has_master) {
        LoadUpTo(call.master + i, left, p);
      } else {
        LoadUpTo(params + i, left, p);
      }
      LoadUpTo(call.grad + i, left, g);
      LoadUpTo(call.momentum + i, left, u);
#pragma unroll
      for (int k = 0; k < N; ++k) SgdStep(f, g[k], &p[k], &u[k]);
      if (call.has_master) StoreUpTo(p, left, call.master + i);
      StoreUpTo(p, left, params + i);
      StoreUpTo(u, left, call.momentum + i);
    }
    StoreUpTo(zeros, left, call.grad + i);
  }
}

}  // namespace

Code LaunchSgd(const SgdCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool wide = VectorElements(1, {Address(call.param), Address(call.master), Address(call.grad),
                                         Address(call.momentum)}) > 1;
    return LaunchKernel(wide ? SgdKernel<T, kFloats> : SgdKernel<T, 1>, ForElements(call.elements, wide ? kFloats : 1),
                        stream, call);
  });
}

}  // namespace millrace::cuda
