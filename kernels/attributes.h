// A typed view over the named constants of an operator.
#ifndef KERNELS_ATTRIBUTES_H_
#define KERNELS_ATTRIBUTES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"
#include "proto/model.pb.h"

namespace millrace {

// Value type, kept sorted by name, so that equal attributes print equally. Few entries: searches are linear.
class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(const google::protobuf::RepeatedPtrField<proto::Attribute>& attributes);

  bool Has(absl::string_view name) const { return Find(name) != nullptr; }
  // Each returns `fallback` when there is no such attribute, or when it has another type.
  int64_t Int(absl::string_view name, int64_t fallback) const;
  double Float(absl::string_view name, double fallback) const;  // integers are accepted too
  std::string String(absl::string_view name, absl::string_view fallback) const;
  std::vector<int64_t> Ints(absl::string_view name) const;
  uint64_t Bits(absl::string_view name, uint64_t fallback) const;

  Attributes& SetInt(absl::string_view name, int64_t value);
  Attributes& SetFloat(absl::string_view name, double value);
  Attributes& SetString(absl::string_view name, absl::string_view value);
  Attributes& SetInts(absl::string_view name, const std::vector<int64_t>& values);
  Attributes& SetBits(absl::string_view name, uint64_t value);
  void Remove(absl::string_view name);

  void CopyTo(google::protobuf::RepeatedPtrField<proto::Attribute>* out) const;
  // "epsilon=1e-05,is_causal=1": canonical, floating-point values exact.
  std::string ToString() const;

  const std::vector<proto::Attribute>& all() const { return attributes_; }

 private:
  const proto::Attribute* Find(absl::string_view name) const;
  proto::Attribute& Slot(absl::string_view name);

  std::vector<proto::Attribute> attributes_;
};

}  // namespace millrace

#endif  // KERNELS_ATTRIBUTES_H_
