// Attention by a library (cuDNN), behind an interface, so that host code and tests do without it.
#ifndef KERNELS_CUDA_FUSED_ATTENTION_H_
#define KERNELS_CUDA_FUSED_ATTENTION_H_

#include "kernels/cuda/attention.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {

class AttentionLibrary {
 public:
  virtual ~AttentionLibrary() = default;
  // The whole kernel of Attention or AttentionGrad. UNIMPLEMENTED where the library has no engine for the shape; the
  // same shape always gets the same engine, and the backward pass a deterministic one.
  virtual KernelOr NewForward(const AttentionShape& shape, bool has_lse) = 0;
  virtual KernelOr NewBackward(const AttentionShape& shape) = 0;
};

// Worth asking: 16-bit types, heads of a multiple of 8 up to 128, something to do.
constexpr bool MayFuse(const AttentionShape& s) {
  return (s.type == Element::kBF16 || s.type == Element::kF16) && s.width % 8 == 0 && s.width <= 128 && s.batch > 0 &&
         s.queries > 0 && s.keys > 0;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_FUSED_ATTENTION_H_
