#include <algorithm>
#include <utility>

#include "kernels/axes.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/reduce_rows.h"
#include "kernels/cpu/shape.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

// The last axis is a row: a scaled copy, or one value repeated.
template <typename T>
class ExpandKernel : public Kernel {
 public:
  ExpandKernel(Axes axes, double scale) : Kernel({}), axes_(std::move(axes)), scale_(static_cast<T>(scale)) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const T* x = static_cast<const T*>(args.inputs[0]);
    T* y = static_cast<T*>(args.outputs[0]);
    const Axis& row = axes_.back();
    const size_t outer = axes_.size() - 1;
    ForBlocks(stream, Steps(axes_, outer), RowsPerTask(row.size), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* from = x + OffsetsAt(axes_, outer, r).a;
        if (row.a != 0) {
          ScaleRow(from, scale_, row.size, y + r * row.size);
        } else {
          std::fill_n(y + r * row.size, row.size, scale_ * *from);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  const Axes axes_;
  const T scale_;
};

}  // namespace

KernelOr NewExpand(const OpDesc& desc) {
  const bool doubles = desc.input(0).dtype == proto::F64;
  MR_RETURN_IF_ERROR(OnlyDtype(desc, doubles ? proto::F64 : proto::F32));
  const std::vector<int64_t>& dims = desc.output(0).dims;
  const std::vector<int64_t> a = BroadcastStrides(desc.input(0).dims, dims), b = DenseStrides(dims);
  Axes axes;
  for (size_t i = 0; i < dims.size(); ++i) axes.push_back({dims[i], a[i], b[i]});
  axes = Collapse(axes);
  const double scale = desc.attributes.Float("scale", 1.0);
  if (doubles) return std::make_unique<ExpandKernel<double>>(std::move(axes), scale);
  return std::make_unique<ExpandKernel<float>>(std::move(axes), scale);
}

}  // namespace millrace::cpu
