#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "kernels/cpu/attention_shape.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "proto/status_macros.h"

namespace millrace::cpu {

AttentionShape AttentionShape::Of(const OpDesc& desc, int first_input) {
  const TensorSpec& q = desc.input(first_input);
  const TensorSpec& k = desc.input(first_input + 1);
  AttentionShape s;
  s.packed = !k.present();
  s.batch = q.dims[0];
  s.queries = q.dims[1];
  s.keys = s.packed ? s.queries : k.dims[1];
  s.q_heads = desc.attributes.Int("q_num_heads", 1);
  s.kv_heads = desc.attributes.Int("kv_num_heads", s.q_heads);
  s.dim = q.dims[2] / (s.packed ? s.q_heads + 2 * s.kv_heads : s.q_heads);
  s.padded_dim = RoundUp(s.dim, 16);
  s.causal = desc.attributes.Int("is_causal", 0) != 0;
  s.scale = static_cast<float>(desc.attributes.Float("scale", 1.0 / std::sqrt(static_cast<double>(s.dim))));
  s.q_row = q.dims[2];
  s.kv_row = s.packed ? s.q_row : k.dims[2];
  return s;
}

namespace {

// Heads are dealt to a fixed number of groups, each with a slice of scratch of its own.
struct HeadGroups {
  int64_t heads, count, slice_bytes;

  HeadGroups(int64_t heads_, int64_t floats)
      : heads(heads_), count(std::min(heads_, kAttentionGroups)), slice_bytes(RoundUp(floats * sizeof(float), 256)) {}
  KernelNeeds needs() const { return {static_cast<uint64_t>(count * slice_bytes), 0, ""}; }

  template <typename Head>
  void Run(Stream& stream, void* scratch, const Head& head) const {
    static_cast<CpuStream&>(stream).ParallelFor(count, [&](int64_t group) {
      float* slice = reinterpret_cast<float*>(static_cast<char*>(scratch) + group * slice_bytes);
      for (int64_t h = group; h < heads; h += count) head(h, slice);
    });
  }
};

class AttentionKernel : public Kernel {
 public:
  AttentionKernel(AttentionShape shape, HeadGroups groups, bool has_lse)
      : Kernel(groups.needs()), shape_(shape), groups_(groups), has_lse_(has_lse) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const AttentionShape& s = shape_;
    AttentionForward call;
    call.q = static_cast<const float*>(args.inputs[0]);
    call.k = s.packed ? call.q + s.q_heads * s.dim : static_cast<const float*>(args.inputs[1]);
    call.v = s.packed ? call.k + s.kv_heads * s.dim : static_cast<const float*>(args.inputs[2]);
    call.y = static_cast<float*>(args.outputs[0]);
    call.lse = has_lse_ ? static_cast<float*>(args.outputs[1]) : nullptr;
    groups_.Run(stream, args.scratch, [&](int64_t head, float* scratch) {
      AttentionForwardHead(s, call, head / s.q_heads, head % s.q_heads, scratch);
    });
    return absl::OkStatus();
  }

 private:
  const AttentionShape shape_;
  const HeadGroups groups_;
  const bool has_lse_;
};

class AttentionGradKernel : public Kernel {
 public:
  AttentionGradKernel(AttentionShape shape, HeadGroups groups)
      : Kernel(groups.needs()), shape_(shape), groups_(groups) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const AttentionShape& s = shape_;
    const auto input = [&args](int i) { return static_cast<const float*>(args.inputs[i]); };
    const auto output = [&args](int i) { return static_cast<float*>(args.outputs[i]); };
    AttentionBackward call;
    call.dy = input(0), call.q = input(1), call.y = input(4), call.lse = input(5);
    call.k = s.packed ? call.q + s.q_heads * s.dim : input(2);
    call.v = s.packed ? call.k + s.kv_heads * s.dim : input(3);
    call.dq = output(0);
    call.dk = s.packed ? call.dq + s.q_heads * s.dim : output(1);
    call.dv = s.packed ? call.dk + s.kv_heads * s.dim : output(2);
    groups_.Run(stream, args.scratch, [&](int64_t head, float* scratch) {
      AttentionBackwardHead(s, call, head / s.kv_heads, head % s.kv_heads, scratch);
    });
    return absl::OkStatus();
  }

 private:
  const AttentionShape shape_;
  const HeadGroups groups_;
};

}  // namespace

KernelOr NewAttention(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  if (desc.op == "Attention") {
    const AttentionShape shape = AttentionShape::Of(desc, 0);
    const HeadGroups groups(shape.batch * shape.q_heads, AttentionForwardScratch(shape));
    return std::make_unique<AttentionKernel>(shape, groups, desc.output(1).present());
  }
  const AttentionShape shape = AttentionShape::Of(desc, 1);
  return std::make_unique<AttentionGradKernel>(
      shape, HeadGroups(shape.batch * shape.kv_heads, AttentionBackwardScratch(shape)));
}

}  // namespace millrace::cpu
