#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/axes.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/copy_kernel.h"
#include "kernels/cpu/shape.h"

namespace millrace::cpu {
namespace {

constexpr int64_t kTile = 32;

// The last axis moves as it is: rows are copied. a is the input's stride, b the output's.
class RowsKernel : public Kernel {
 public:
  RowsKernel(Axes axes, int64_t element_bytes) : Kernel({}), axes_(std::move(axes)), element_bytes_(element_bytes) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const char* x = static_cast<const char*>(args.inputs[0]);
    char* y = static_cast<char*>(args.outputs[0]);
    const size_t outer = axes_.size() - 1;
    const int64_t row = axes_.back().size;
    ForBlocks(stream, Steps(axes_, outer), RowsPerTask(row), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const Offsets at = OffsetsAt(axes_, outer, r);
        std::memcpy(y + at.b * element_bytes_, x + at.a * element_bytes_, row * element_bytes_);
      }
    });
    return absl::OkStatus();
  }

 private:
  const Axes axes_;
  const int64_t element_bytes_;
};

// The output's last axis is not the input's: tiles of the plane of the two.
template <typename T>
class TilesKernel : public Kernel {
 public:
  // `from`: the axis along which the input is contiguous.
  TilesKernel(Axes axes, size_t from) : Kernel({}), outer_(std::move(axes)) {
    to_ = outer_.back();
    outer_.pop_back();
    from_ = outer_[from];
    outer_.erase(outer_.begin() + from);
  }

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const T* x = static_cast<const T*>(args.inputs[0]);
    T* y = static_cast<T*>(args.outputs[0]);
    const int64_t strips = CeilDiv(from_.size, kTile);
    const int64_t block = RowsPerTask(kTile * to_.size);
    ForBlocks(stream, Steps(outer_, outer_.size()) * strips, block, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Offsets at = OffsetsAt(outer_, outer_.size(), i / strips);
        Strip(x + at.a, y + at.b, i % strips * kTile);
      }
    });
    return absl::OkStatus();
  }

 private:
  void Strip(const T* x, T* y, int64_t f0) const {
    const int64_t f1 = std::min(from_.size, f0 + kTile);
    for (int64_t t0 = 0; t0 < to_.size; t0 += kTile) {
      const int64_t t1 = std::min(to_.size, t0 + kTile);
      for (int64_t f = f0; f < f1; ++f) {
        for (int64_t t = t0; t < t1; ++t) y[f * from_.b + t] = x[t * to_.a + f];
      }
    }
  }

  Axes outer_;
  Axis from_, to_;
};

}  // namespace

KernelOr NewTranspose(const OpDesc& desc) {
  const TensorSpec& x = desc.input(0);
  std::vector<int64_t> perm = desc.attributes.Ints("perm");
  if (perm.empty()) {
    for (size_t i = x.dims.size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  }
  const std::vector<int64_t> a = DenseStrides(x.dims), b = DenseStrides(desc.output(0).dims);
  Axes axes;
  for (size_t i = 0; i < perm.size(); ++i) axes.push_back({x.dims[perm[i]], a[perm[i]], b[i]});
  axes = Collapse(axes);
  if (axes.size() == 1) return std::make_unique<CopyKernel>(x.bytes());
  if (axes.back().a == 1) return std::make_unique<RowsKernel>(std::move(axes), SizeOf(x.dtype));
  size_t from = 0;
  while (axes[from].a != 1) ++from;
  switch (SizeOf(x.dtype)) {
    case 1:
      return std::make_unique<TilesKernel<uint8_t>>(std::move(axes), from);
    case 2:
      return std::make_unique<TilesKernel<uint16_t>>(std::move(axes), from);
    case 4:
      return std::make_unique<TilesKernel<uint32_t>>(std::move(axes), from);
    case 8:
      return std::make_unique<TilesKernel<uint64_t>>(std::move(axes), from);
    default:
      return absl::UnimplementedError(absl::StrCat("Transpose of ", x.ToString()));
  }
}

}  // namespace millrace::cpu
