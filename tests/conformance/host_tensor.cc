#include "tests/conformance/host_tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "kernels/random.h"

namespace millrace {
namespace {

double Random(const Fill& fill, const Philox& random, int64_t i) {
  const auto words = random.Block(i);
  const double u = (words[0] + 0.5) * 0x1p-32, v = words[1] * 0x1p-32;
  switch (fill.kind) {
    case Fill::UNIFORM:
      return fill.low + (fill.high - fill.low) * u;
    case Fill::INTEGERS:
      if (fill.sometimes != 0 && words[2] % 4 == 0) return fill.sometimes;
      return std::floor(fill.low + (fill.high - fill.low) * v);
    case Fill::VALUES:
      return fill.values[i % fill.values.size()];
    default:  // Box & Muller
      return fill.low + fill.high * std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
  }
}

}  // namespace

double HostTensor::at(int64_t i) const {
  switch (spec.dtype) {
    case proto::F64:
      return reinterpret_cast<const double*>(bytes.data())[i];
    case proto::F32:
      return reinterpret_cast<const float*>(bytes.data())[i];
    case proto::BF16:
      return static_cast<float>(reinterpret_cast<const BFloat16*>(bytes.data())[i]);
    case proto::F16:
      return reinterpret_cast<const _Float16*>(bytes.data())[i];
    case proto::I32:
      return reinterpret_cast<const int32_t*>(bytes.data())[i];
    case proto::I64:
      return static_cast<double>(reinterpret_cast<const int64_t*>(bytes.data())[i]);
    default:
      return bytes[i];
  }
}

void HostTensor::set(int64_t i, double value) {
  switch (spec.dtype) {
    case proto::F64:
      reinterpret_cast<double*>(bytes.data())[i] = value;
      break;
    case proto::F32:
      reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(value);
      break;
    case proto::BF16:
      reinterpret_cast<BFloat16*>(bytes.data())[i] = BFloat16(static_cast<float>(value));
      break;
    case proto::F16:
      reinterpret_cast<_Float16*>(bytes.data())[i] = static_cast<_Float16>(static_cast<float>(value));
      break;
    case proto::I32:
      reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(value);
      break;
    case proto::I64:
      reinterpret_cast<int64_t*>(bytes.data())[i] = static_cast<int64_t>(value);
      break;
    default:
      bytes[i] = static_cast<char>(value);
  }
}

std::vector<double> HostTensor::ToDoubles() const {
  std::vector<double> elements(spec.elements());
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = at(i);
  return elements;
}

HostTensor Filled(const TensorSpec& spec, const Fill& fill, uint64_t seed) {
  HostTensor tensor{spec, std::vector<char>(spec.bytes())};
  const Philox random(seed, RandomKey("conformance"), 0, 0);
  for (int64_t i = 0; i < spec.elements(); ++i) tensor.set(i, Random(fill, random, i));
  return tensor;
}

HostTensor Converted(const HostTensor& tensor, DType dtype) {
  HostTensor out{{dtype, tensor.spec.dims}, {}};
  out.bytes.resize(out.spec.bytes());
  for (int64_t i = 0; i < out.spec.elements(); ++i) out.set(i, tensor.at(i));
  return out;
}

Tolerance ToleranceOf(DType dtype) {
  switch (dtype) {
    case proto::F64:
      return {1e-11, 1e-12};
    case proto::BF16:
      return {1.0 / 64, 1.0 / 128};
    case proto::F16:
      return {1.0 / 512, 1.0 / 1024};
    default:
      return {2e-5, 3e-6};
  }
}

std::string Difference(const HostTensor& got, const HostTensor& want, Tolerance tolerance) {
  if (got.bytes == want.bytes) return "";
  const std::vector<double> g = got.ToDoubles(), w = want.ToDoubles();
  double largest = 0;
  for (double x : w) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  double worst = 1;  // in units of the budget
  std::string message;
  int64_t failures = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    if (g[i] == w[i] || (std::isnan(g[i]) && std::isnan(w[i]))) continue;
    const double budget = tolerance.relative * std::abs(w[i]) + tolerance.absolute * largest + tolerance.floor;
    double excess = std::abs(g[i] - w[i]) / budget;
    if (!std::isfinite(excess)) excess = std::numeric_limits<double>::infinity();
    if (excess <= 1) continue;
    ++failures;
    if (excess <= worst) continue;
    worst = excess;
    message = absl::StrCat("element ", i, " of ", want.spec.ToString(), " is ", g[i], " and should be ", w[i], ", ",
                           excess, " times its budget");
  }
  if (failures == 0) return IsFloat(want.spec.dtype) ? "" : "integers beyond 2^53 differ";
  return absl::StrCat(message, "; ", failures, " of ", w.size(), " elements are off");
}

}  // namespace millrace
