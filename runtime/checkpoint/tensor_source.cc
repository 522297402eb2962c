#include "runtime/checkpoint/tensor_source.h"

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"

namespace millrace {

absl::StatusOr<uint64_t> TensorBytes(const proto::TensorType& type) {
  uint64_t bytes = proto::DataType_IsValid(type.dtype()) ? SizeOf(type.dtype()) : 0;
  if (bytes == 0) return absl::InvalidArgumentError(absl::StrCat("element type ", type.dtype(), " is not known"));
  for (int64_t dim : type.dims()) {
    if (dim < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the sizes ", type.ShortDebugString(), " are negative or too large"));
    }
  }
  return bytes;
}

}  // namespace millrace
