#include "runtime/plan/verify/bytes.h"

#include "kernels/dtype.h"

namespace millrace {

std::optional<uint64_t> ElementsOf(const proto::TensorType& type) {
  constexpr uint64_t kMost = uint64_t{1} << 60;
  uint64_t elements = 1;
  for (int64_t size : type.dims()) {
    if (size < 0 || __builtin_mul_overflow(elements, static_cast<uint64_t>(size), &elements) || elements > kMost) {
      return std::nullopt;
    }
  }
  return elements;
}

std::optional<uint64_t> BytesOf(const proto::TensorType& type) {
  const int64_t size = SizeOf(type.dtype());
  const std::optional<uint64_t> elements = ElementsOf(type);
  if (size == 0 || !elements) return std::nullopt;
  return *elements * size;
}

}  // namespace millrace
