// Bound by memory in f32 (8 bytes per element) and nearly so in 16 bits (4 bytes): Philox takes 20 wide multiplications
// and some 60 cheaper operations for four elements. A thread takes the four elements of one call of the generator,
// whatever their alignment, so that no word is made twice.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/dropout.h"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/maybe_aligned.cuh"

namespace millrace::cuda {
namespace {

constexpr int kWords = 4;

template <typename T, bool aligned>
__global__ void DropoutKernel(DropoutCall call) {
  const T* x = static_cast<const T*>(call.x);
  T* y = static_cast<T*>(call.y);
  for (int64_t i = FirstElement<kWords>(); i < call.elements; i += GridStride<kWords>()) {
    uint32_t words[kWords];
    PhiloxWords(call.key, static_cast<uint64_t>(i) / kWords, words);
    float values[kWords];
    LoadMaybeAligned<aligned>(x + i, call.elements - i, values);
#pragma unroll
    for (int k = 0; k < kWords; ++k) values[k] = IsKept(words[k], call.threshold) ? values[k] * call.scale : 0.0f;
    StoreMaybeAligned<aligned>(values, call.elements - i, y + i);
  }
}

}  // namespace

Code LaunchDropout(const DropoutCall& call, StreamHandle stream) {
  const Launch at = ForElements(call.elements, kWords);
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool aligned = VectorElements(sizeof(T), {Address(call.x), Address(call.y)}) > 1;
    return LaunchKernel(aligned ? DropoutKernel<T, true> : DropoutKernel<T, false>, at, stream, call);
  });
}

}  // namespace millrace::cuda
