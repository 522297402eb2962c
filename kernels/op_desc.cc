#include "kernels/op_desc.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

const TensorSpec& Absent() {
  static const TensorSpec* const absent = new TensorSpec();
  return *absent;
}

std::string Join(const std::vector<TensorSpec>& specs) {
  return absl::StrJoin(specs, ",",
                       [](std::string* out, const TensorSpec& spec) { absl::StrAppend(out, spec.ToString()); });
}

}  // namespace

int64_t TensorSpec::elements() const {
  if (!present()) return 0;
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

std::string TensorSpec::ToString() const {
  if (!present()) return "-";
  return absl::StrCat(absl::string_view(Name(dtype)), "[", absl::StrJoin(dims, ","), "]");
}

TensorSpec TensorSpec::Of(const proto::TensorType& type) {
  return {type.dtype(), {type.dims().begin(), type.dims().end()}};
}

proto::TensorType TensorSpec::ToProto() const {
  proto::TensorType type;
  type.set_dtype(dtype);
  type.mutable_dims()->Assign(dims.begin(), dims.end());
  return type;
}

std::string OpDesc::Key() const {
  return absl::StrCat(op, "(", Join(inputs), ")->(", Join(outputs), "){", attributes.ToString(), "}");
}

const TensorSpec& OpDesc::input(int i) const { return i < static_cast<int>(inputs.size()) ? inputs[i] : Absent(); }

const TensorSpec& OpDesc::output(int i) const { return i < static_cast<int>(outputs.size()) ? outputs[i] : Absent(); }

}  // namespace millrace
