// Attention and AttentionGrad: cuDNN's fused kernels where they take the shape, else our own, on the tensor cores where
// they can.
#include "kernels/cuda/attention.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/fused_attention.h"

namespace millrace::cuda {
namespace {

AttentionShape ShapeOf(const OpDesc& desc, int first) {
  const TensorSpec& q = desc.input(first);
  const TensorSpec& k = desc.input(first + 1);
  AttentionShape s;
  s.type = ElementOf(q);
  s.packed = !k.present();
  s.batch = q.dims[0];
  s.queries = q.dims[1];
  s.keys = s.packed ? s.queries : k.dims[1];
  s.q_heads = desc.attributes.Int("q_num_heads", 1);
  s.kv_heads = desc.attributes.Int("kv_num_heads", s.q_heads);
  const int64_t width = q.dims[2] / (s.packed ? s.q_heads + 2 * s.kv_heads : s.q_heads);
  s.width = static_cast<int>(std::min(width, kMostAttentionWidth + 1));  // more is refused
  s.q_row = q.dims[2];
  s.kv_row = s.packed ? s.q_row : k.dims[2];
  s.causal = desc.attributes.Int("is_causal", 0) != 0;
  s.scale = static_cast<float>(desc.attributes.Float("scale", 1.0 / std::sqrt(static_cast<double>(s.width))));
  return s;
}

// Of the plain kernels: how wide a head may be, and how much shared memory its tiles take on this GPU.
absl::Status CheckWidth(const Machine& machine, const OpDesc& desc, int64_t width, bool backward) {
  if (width > kMostAttentionWidth) {
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: heads of ", width, " in ", desc.Key(),
                                                 "; at most ", kMostAttentionWidth, " are supported"));
  }
  const int bytes = AttentionSharedBytes(backward ? 4 : 3, static_cast<int>(width), backward ? 2 : 1);
  if (bytes <= machine.chip.most_shared_bytes) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: heads of ", width, " in ", desc.Key(),
                                               " need ", bytes, " bytes of shared memory per block; ",
                                               machine.chip.name, " has ", machine.chip.most_shared_bytes));
}

// k and v: tensors of their own, or behind q in its rows.
template <typename Memory>
struct KeysAndValues {
  Memory *k, *v;
};
template <typename Memory>
KeysAndValues<Memory> PackedOrNot(const AttentionShape& s, Memory* q, Memory* k, Memory* v) {
  if (!s.packed) return {k, v};
  auto* const bytes = reinterpret_cast<std::conditional_t<std::is_const_v<Memory>, const char, char>*>(q);
  const int64_t size = SizeOf(s.type);
  return {bytes + s.q_heads * s.width * size, bytes + (s.q_heads + s.kv_heads) * s.width * size};
}

// Do all of these begin where 16-byte accesses may? The arena sees to it; a caller of odd slices gets the plain kernel.
bool Aligned(std::initializer_list<const void*> addresses) {
  return std::all_of(addresses.begin(), addresses.end(),
                     [](const void* address) { return Address(address) % kAccessBytes == 0; });
}

class AttentionKernel : public CudaKernel {
 public:
  AttentionKernel(const AttentionShape& shape, bool has_lse)
      : CudaKernel("Attention", {}), shape_(shape), has_lse_(has_lse) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    AttentionForwardCall call = {.shape = shape_, .q = args.inputs[0]};
    const auto [k, v] = PackedOrNot<const void>(shape_, call.q, shape_.packed ? nullptr : args.inputs[1],
                                                shape_.packed ? nullptr : args.inputs[2]);
    call.k = k;
    call.v = v;
    call.y = args.outputs[0];
    call.lse = has_lse_ ? Out<float>(args, 1) : nullptr;
    const bool cores = TakesTensorCores(shape_) && Aligned({call.q, call.k, call.v, call.y});
    return Launched(stream, (cores ? LaunchMmaAttention : LaunchAttention)(call, stream.handle()));
  }

 private:
  const AttentionShape shape_;
  const bool has_lse_;
};

class AttentionGradKernel : public CudaKernel {
 public:
  explicit AttentionGradKernel(const AttentionShape& s)
      : CudaKernel("AttentionGrad", {.scratch_bytes = sizeof(float) * s.batch * s.q_heads * s.queries}), shape_(s) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    AttentionBackwardCall call = {.shape = shape_, .dy = args.inputs[0], .q = args.inputs[1]};
    const bool packed = shape_.packed;
    const auto [k, v] =
        PackedOrNot<const void>(shape_, call.q, packed ? nullptr : args.inputs[2], packed ? nullptr : args.inputs[3]);
    call.k = k;
    call.v = v;
    call.y = args.inputs[4];
    call.lse = In<float>(args, 5);
    call.dq = args.outputs[0];
    const auto [dk, dv] =
        PackedOrNot<void>(shape_, call.dq, packed ? nullptr : args.outputs[1], packed ? nullptr : args.outputs[2]);
    call.dk = dk;
    call.dv = dv;
    call.delta = static_cast<float*>(args.scratch);
    const bool cores =
        TakesTensorCores(shape_) && Aligned({call.dy, call.q, call.k, call.v, call.y, call.dq, call.dk, call.dv});
    return Launched(stream, (cores ? LaunchMmaAttentionGrad : LaunchAttentionGrad)(call, stream.handle()));
  }

 private:
  const AttentionShape shape_;
};

}  // namespace

KernelOr NewAttention(const Machine& machine, const OpDesc& desc) {
  const bool backward = desc.op == "AttentionGrad";
  const AttentionShape shape = ShapeOf(desc, backward ? 1 : 0);
  MR_RETURN_IF_ERROR(CheckFloatType(desc, backward ? 1 : 0));
  if (machine.attention != nullptr && MayFuse(shape)) {
    KernelOr fused = backward ? machine.attention->NewBackward(shape)
                              : machine.attention->NewForward(shape, desc.output(1).present());
    if (!absl::IsUnimplemented(fused.status())) return fused;
  }
  if (!TakesTensorCores(shape)) MR_RETURN_IF_ERROR(CheckWidth(machine, desc, shape.width, backward));
  if (backward) return std::make_unique<AttentionGradKernel>(shape);
  return std::make_unique<AttentionKernel>(shape, desc.output(1).present());
}

}  // namespace millrace::cuda
