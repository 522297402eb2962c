#include "runtime/checkpoint/tensor_source.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"

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

absl::StatusOr<std::vector<TensorPart>> ParameterStore::parts() const {
  std::vector<TensorPart> parts;
  for (int i = 0; i < static_cast<int>(tensors().size()); ++i) {
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(tensors()[i].type));
    parts.push_back({i, 0, bytes / SizeOf(tensors()[i].type.dtype()), rank(i)});
  }
  return parts;
}

absl::Status ParameterStore::ReadPart(const TensorPart& part, void* memory, uint64_t bytes) const {
  const proto::TensorType& type = tensors()[part.tensor].type;
  MR_ASSIGN_OR_RETURN(const uint64_t all, TensorBytes(type));
  if (bytes == all) return Read(part.tensor, memory, bytes);
  std::vector<char> whole(all);
  MR_RETURN_IF_ERROR(Read(part.tensor, whole.data(), all));
  std::memcpy(memory, whole.data() + part.begin * SizeOf(type.dtype()), bytes);
  return absl::OkStatus();
}

}  // namespace millrace
