#include <cmath>
#include <limits>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/copy_kernel.h"
#include "kernels/cpu/elementwise.h"

namespace millrace::cpu {
namespace {

// Truncates towards 0; what does not fit becomes the nearest that does, and NaN 0.
template <typename To, typename From>
To Convert(From x) {
  if constexpr (std::is_same_v<From, BFloat16> || std::is_same_v<From, _Float16>) {
    return Convert<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, BFloat16> || std::is_same_v<To, _Float16>) {
    return static_cast<To>(static_cast<float>(x));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // 2^31 and 2^63 are exact in every floating-point type, the largest integers below them are not.
    constexpr From limit = static_cast<From>(uint64_t{1} << (8 * sizeof(To) - 1));
    if (x >= limit) return std::numeric_limits<To>::max();
    if (x < -limit) return std::numeric_limits<To>::min();
    return std::isnan(x) ? To{0} : static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
class CastKernel : public Kernel {
 public:
  explicit CastKernel(int64_t elements) : Kernel({}), elements_(elements) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const From* x = static_cast<const From*>(args.inputs[0]);
    To* y = static_cast<To*>(args.outputs[0]);
    ForBlocks(stream, elements_, kElementsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = Convert<To>(x[i]);
    });
    return absl::OkStatus();
  }

 private:
  const int64_t elements_;
};

absl::Status Unsupported(const OpDesc& desc) {
  return absl::UnimplementedError(absl::StrCat("Cast on the cpu backend: ", desc.input(0).ToString(), " to ",
                                               desc.output(0).ToString(),
                                               "; supported are f32, f64, bf16, f16, i32 and i64"));
}

template <typename From>
KernelOr NewCastFrom(const OpDesc& desc) {
  const int64_t elements = desc.input(0).elements();
  switch (desc.output(0).dtype) {
    case proto::F32:
      return std::make_unique<CastKernel<From, float>>(elements);
    case proto::F64:
      return std::make_unique<CastKernel<From, double>>(elements);
    case proto::BF16:
      return std::make_unique<CastKernel<From, BFloat16>>(elements);
    case proto::F16:
      return std::make_unique<CastKernel<From, _Float16>>(elements);
    case proto::I32:
      return std::make_unique<CastKernel<From, int32_t>>(elements);
    case proto::I64:
      return std::make_unique<CastKernel<From, int64_t>>(elements);
    default:
      return Unsupported(desc);
  }
}

}  // namespace

KernelOr NewCast(const OpDesc& desc) {
  if (desc.input(0).dtype == desc.output(0).dtype) return std::make_unique<CopyKernel>(desc.input(0).bytes());
  switch (desc.input(0).dtype) {
    case proto::F32:
      return NewCastFrom<float>(desc);
    case proto::F64:
      return NewCastFrom<double>(desc);
    case proto::BF16:
      return NewCastFrom<BFloat16>(desc);
    case proto::F16:
      return NewCastFrom<_Float16>(desc);
    case proto::I32:
      return NewCastFrom<int32_t>(desc);
    case proto::I64:
      return NewCastFrom<int64_t>(desc);
    default:
      return Unsupported(desc);
  }
}

}  // namespace millrace::cpu
