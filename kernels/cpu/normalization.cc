#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/normalization_rows.h"
#include "kernels/cpu/only_dtype.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

constexpr int64_t kColumnsPerTask = 1024;

float* Output(const KernelArgs& args, bool present, int i) {
  return present ? static_cast<float*>(args.outputs[i]) : nullptr;
}

class NormalizationKernel : public Kernel {
 public:
  explicit NormalizationKernel(const OpDesc& desc)
      : Kernel({}),
        rows_(desc.input(0).rows()),
        columns_(desc.input(0).columns()),
        epsilon_(static_cast<float>(desc.attributes.Float("epsilon", 1e-5))),
        centred_(desc.op == "LayerNormalization"),
        has_bias_(centred_ && desc.input(2).present()),
        has_1_(desc.output(1).present()),
        has_2_(desc.output(2).present()) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    ForBlocks(stream, rows_, RowsPerTask(columns_), [&](int64_t begin, int64_t end) {
      NormalizationForward f;
      f.x = static_cast<const float*>(args.inputs[0]) + begin * columns_;
      f.scale = static_cast<const float*>(args.inputs[1]);
      f.bias = has_bias_ ? static_cast<const float*>(args.inputs[2]) : nullptr;
      f.y = static_cast<float*>(args.outputs[0]) + begin * columns_;
      f.mean = centred_ ? Output(args, has_1_, 1) : nullptr;
      f.inverse = centred_ ? Output(args, has_2_, 2) : Output(args, has_1_, 1);
      if (f.mean != nullptr) f.mean += begin;
      if (f.inverse != nullptr) f.inverse += begin;
      f.columns = columns_;
      f.epsilon = epsilon_;
      f.centred = centred_;
      NormalizeRows(f, end - begin);
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_, columns_;
  const float epsilon_;
  const bool centred_, has_bias_, has_1_, has_2_;
};

// Blocks of rows sum their own scale and bias gradients, in scratch; the blocks' sums are then added in order.
class NormalizationGradKernel : public Kernel {
 public:
  static constexpr int64_t kMostBlocks = 16, kFewestRows = 16;

  NormalizationGradKernel(const OpDesc& desc, int64_t block, KernelNeeds needs)
      : Kernel(std::move(needs)),
        rows_(desc.input(0).rows()),
        columns_(desc.input(0).columns()),
        block_(block),
        centred_(desc.op == "LayerNormalizationGrad"),
        has_dscale_(desc.output(1).present()),
        has_dbias_(centred_ && desc.output(2).present()) {}

  static KernelOr New(const OpDesc& desc) {
    const int64_t rows = desc.input(0).rows();
    const int64_t block = std::max(kFewestRows, CeilDiv(rows, kMostBlocks));
    const uint64_t bytes = CeilDiv(rows, block) * 2 * Stride(desc.input(0).columns()) * sizeof(float);
    return std::make_unique<NormalizationGradKernel>(desc, block, KernelNeeds{bytes, 0, ""});
  }

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const auto input = [&args](int i) { return static_cast<const float*>(args.inputs[i]); };
    float* dscale_parts = static_cast<float*>(args.scratch);
    float* dbias_parts = dscale_parts + Stride(columns_);
    const int64_t stride = 2 * Stride(columns_);
    ForBlocks(stream, rows_, block_, [&](int64_t begin, int64_t end) {
      NormalizationBackward b;
      b.dy = input(0) + begin * columns_;
      b.x = input(1) + begin * columns_;
      b.scale = input(2);
      b.mean = centred_ ? input(3) + begin : nullptr;
      b.inverse = input(centred_ ? 4 : 3) + begin;
      b.dx = static_cast<float*>(args.outputs[0]) + begin * columns_;
      b.dscale = has_dscale_ ? dscale_parts + begin / block_ * stride : nullptr;
      b.dbias = has_dbias_ ? dbias_parts + begin / block_ * stride : nullptr;
      b.columns = columns_;
      b.centred = centred_;
      NormalizeRowsGrad(b, end - begin);
    });
    if (rows_ == 0) return absl::OkStatus();
    ForBlocks(stream, columns_, kColumnsPerTask, [&](int64_t begin, int64_t end) {
      const int64_t parts = CeilDiv(rows_, block_);
      if (has_dscale_) AddParts(dscale_parts, parts, stride, begin, end, static_cast<float*>(args.outputs[1]));
      if (has_dbias_) AddParts(dbias_parts, parts, stride, begin, end, static_cast<float*>(args.outputs[2]));
    });
    return absl::OkStatus();
  }

 private:
  static int64_t Stride(int64_t columns) { return RoundUp(columns, 64); }

  const int64_t rows_, columns_, block_;
  const bool centred_, has_dscale_, has_dbias_;
};

}  // namespace

KernelOr NewNormalization(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  if (desc.op == "LayerNormalization" || desc.op == "RMSNormalization") {
    return std::make_unique<NormalizationKernel>(desc);
  }
  return NormalizationGradKernel::New(desc);
}

}  // namespace millrace::cpu
