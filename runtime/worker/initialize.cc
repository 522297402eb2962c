#include "runtime/worker/initialize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "kernels/op_desc.h"
#include "kernels/random.h"

namespace millrace {
namespace {

using proto::Initializer;

// Writes elements of one dtype from doubles, in order.
class Writer {
 public:
  Writer(DType dtype, int64_t elements) : dtype_(dtype), bytes_(static_cast<size_t>(elements * SizeOf(dtype)), '\0') {}

  void Put(double value) {
    switch (dtype_) {
      case proto::F32:
        return PutAs(static_cast<float>(value));
      case proto::F64:
        return PutAs(value);
      case proto::BF16:
        return PutAs(BFloat16(static_cast<float>(value)).bits);
      case proto::F16:
        return PutAs(static_cast<_Float16>(static_cast<float>(value)));
      default:
        return PutAs(static_cast<int64_t>(value));
    }
  }
  std::string Take() { return std::move(bytes_); }

 private:
  template <typename T>
  void PutAs(T value) {
    std::memcpy(bytes_.data() + at_, &value, sizeof(T));
    at_ += sizeof(T);
  }

  DType dtype_;
  std::string bytes_;
  size_t at_ = 0;
};

// In T: float is six times as fast as double and as good for weights that are rounded to float anyway.
template <typename T>
void PutNormal(const Philox& philox, double mean, double deviation, int64_t elements, Writer& writer) {
  for (int64_t begin = 0; begin < elements; begin += 4) {
    const std::array<uint32_t, 4> words = philox.Block(static_cast<uint64_t>(begin) / 4);
    T values[4];
    for (int pair = 0; pair < 4; pair += 2) {
      const T u = static_cast<T>((words[pair] + 0.5) * 0x1p-32);  // never 0
      const T radius = static_cast<T>(deviation) * std::sqrt(-2 * std::log(u));
      const T angle = static_cast<T>(2 * std::numbers::pi * 0x1p-32 * words[pair + 1]);
      values[pair] = static_cast<T>(mean) + radius * std::cos(angle);
      values[pair + 1] = static_cast<T>(mean) + radius * std::sin(angle);
    }
    for (int64_t i = begin; i < std::min(begin + 4, elements); ++i) writer.Put(values[i - begin]);
  }
}

void PutUniform(const Philox& philox, double center, double reach, int64_t elements, Writer& writer) {
  for (int64_t begin = 0; begin < elements; begin += 4) {
    const std::array<uint32_t, 4> words = philox.Block(static_cast<uint64_t>(begin) / 4);
    for (int64_t i = begin; i < std::min(begin + 4, elements); ++i) {
      writer.Put(center + reach * ((words[i - begin] >> 8) * 0x1p-23 - 1));
    }
  }
}

void PutRotary(bool sine, double theta, int64_t positions, int64_t half, Writer& writer) {
  for (int64_t t = 0; t < positions; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(t) * std::pow(theta, -static_cast<double>(i) / static_cast<double>(half));
      writer.Put(sine ? std::sin(angle) : std::cos(angle));
    }
  }
}

absl::Status Check(const proto::PlannedParameter& parameter, const TensorSpec& spec) {
  const Initializer& init = parameter.initializer();
  auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", parameter.name(), " (", spec.ToString(), "): ", why));
  };
  if (!IsFloat(spec.dtype) && spec.dtype != proto::I64) {
    return absl::UnimplementedError(absl::StrCat("parameter ", parameter.name(), ": no initialiser for type ",
                                                 spec.ToString(), "; use f32, f64, bf16, f16 or i64"));
  }
  for (int64_t d : spec.dims) {
    if (d < 0) return bad("a dimension is not concrete");
  }
  switch (init.kind()) {
    case Initializer::CONSTANT:
      if (spec.dtype == proto::I64 && !(std::fabs(init.value()) < 0x1p63)) return bad("its constant is no i64");
      return absl::OkStatus();
    case Initializer::ZEROS:
    case Initializer::ONES:
    case Initializer::IOTA:
      return absl::OkStatus();
    case Initializer::NORMAL:
    case Initializer::UNIFORM:
      return IsFloat(spec.dtype) ? absl::OkStatus() : bad("random values need a floating-point type");
    case Initializer::ROTARY_COS:
    case Initializer::ROTARY_SIN:
      if (!IsFloat(spec.dtype)) return bad("rotary tables need a floating-point type");
      return spec.dims.size() == 2 ? absl::OkStatus() : bad("rotary tables have the dimensions [T, D/2]");
    case Initializer::DATA:
      if (init.data().size() == static_cast<size_t>(spec.bytes())) return absl::OkStatus();
      return bad(absl::StrCat("initialiser has ", init.data().size(), " bytes of data, not ", spec.bytes()));
    default:
      return bad("its initialiser has no kind");
  }
}

}  // namespace

absl::StatusOr<std::string> InitialValues(const proto::PlannedParameter& parameter, uint64_t seed) {
  const TensorSpec spec = TensorSpec::Of(parameter.type());
  const Initializer& init = parameter.initializer();
  if (absl::Status status = Check(parameter, spec); !status.ok()) return status;
  if (init.kind() == Initializer::DATA) return init.data();

  const int64_t n = spec.elements();
  const Philox philox(seed, RandomKey(parameter.name()), 0, 0);
  Writer writer(spec.dtype, n);
  switch (init.kind()) {
    case Initializer::NORMAL:
      spec.dtype == proto::F64 ? PutNormal<double>(philox, init.value(), init.scale(), n, writer)
                               : PutNormal<float>(philox, init.value(), init.scale(), n, writer);
      break;
    case Initializer::UNIFORM:
      PutUniform(philox, init.value(), init.scale(), n, writer);
      break;
    case Initializer::ROTARY_COS:
    case Initializer::ROTARY_SIN:
      PutRotary(init.kind() == Initializer::ROTARY_SIN, init.value(), spec.dims[0], spec.dims[1], writer);
      break;
    case Initializer::IOTA:
      for (int64_t i = 0; i < n; ++i) writer.Put(static_cast<double>(i % spec.columns()));
      break;
    default: {
      const double value = init.kind() == Initializer::ONES ? 1 : init.kind() == Initializer::ZEROS ? 0 : init.value();
      for (int64_t i = 0; i < n; ++i) writer.Put(value);
    }
  }
  return writer.Take();
}

}  // namespace millrace
