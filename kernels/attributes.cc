#include "kernels/attributes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

std::string ValueText(const proto::Attribute& a) {
  switch (a.value_case()) {
    case proto::Attribute::kI: return absl::StrCat(a.i());
    case proto::Attribute::kF: return absl::StrFormat("%.17g", a.f());
    case proto::Attribute::kS: return a.s();
    case proto::Attribute::kInts: return absl::StrCat("[", absl::StrJoin(a.ints().values(), " "), "]");
    case proto::Attribute::kFloats:
      return absl::StrCat("[", absl::StrJoin(a.floats().values(), " ",
                                             [](std::string* out, double v) { absl::StrAppendFormat(out, "%.17g", v); }),
                          "]");
    case proto::Attribute::kU: return absl::StrFormat("0x%016x", a.u());
    default: return "";
  }
}

}  // namespace

Attributes::Attributes(const google::protobuf::RepeatedPtrField<proto::Attribute>& attributes)
    : attributes_(attributes.begin(), attributes.end()) {
  std::sort(attributes_.begin(), attributes_.end(),
            [](const proto::Attribute& a, const proto::Attribute& b) { return a.name() < b.name(); });
}

const proto::Attribute* Attributes::Find(absl::string_view name) const {
  for (const proto::Attribute& a : attributes_) {
    if (absl::string_view(a.name()) == name) return &a;
  }
  return nullptr;
}

proto::Attribute& Attributes::Slot(absl::string_view name) {
  auto it = std::find_if(attributes_.begin(), attributes_.end(),
                         [&](const proto::Attribute& a) { return absl::string_view(a.name()) >= name; });
  if (it == attributes_.end() || absl::string_view(it->name()) != name) {
    it = attributes_.insert(it, proto::Attribute());
    it->set_name(std::string(name));
  }
  return *it;
}

int64_t Attributes::Int(absl::string_view name, int64_t fallback) const {
  const proto::Attribute* a = Find(name);
  return a != nullptr && a->has_i() ? a->i() : fallback;
}

double Attributes::Float(absl::string_view name, double fallback) const {
  const proto::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  if (a->has_f()) return a->f();
  return a->has_i() ? static_cast<double>(a->i()) : fallback;
}

std::string Attributes::String(absl::string_view name, absl::string_view fallback) const {
  const proto::Attribute* a = Find(name);
  return a != nullptr && a->has_s() ? a->s() : std::string(fallback);
}

std::vector<int64_t> Attributes::Ints(absl::string_view name) const {
  const proto::Attribute* a = Find(name);
  if (a == nullptr || !a->has_ints()) return {};
  return {a->ints().values().begin(), a->ints().values().end()};
}

uint64_t Attributes::Bits(absl::string_view name, uint64_t fallback) const {
  const proto::Attribute* a = Find(name);
  return a != nullptr && a->has_u() ? a->u() : fallback;
}

Attributes& Attributes::SetInt(absl::string_view name, int64_t value) {
  Slot(name).set_i(value);
  return *this;
}

Attributes& Attributes::SetFloat(absl::string_view name, double value) {
  Slot(name).set_f(value);
  return *this;
}

Attributes& Attributes::SetString(absl::string_view name, absl::string_view value) {
  Slot(name).set_s(std::string(value));
  return *this;
}

Attributes& Attributes::SetInts(absl::string_view name, const std::vector<int64_t>& values) {
  proto::Attribute& a = Slot(name);
  a.mutable_ints()->mutable_values()->Assign(values.begin(), values.end());
  return *this;
}

Attributes& Attributes::SetBits(absl::string_view name, uint64_t value) {
  Slot(name).set_u(value);
  return *this;
}

void Attributes::Remove(absl::string_view name) {
  attributes_.erase(std::remove_if(attributes_.begin(), attributes_.end(),
                                   [&](const proto::Attribute& a) { return absl::string_view(a.name()) == name; }),
                    attributes_.end());
}

void Attributes::CopyTo(google::protobuf::RepeatedPtrField<proto::Attribute>* out) const {
  out->Assign(attributes_.begin(), attributes_.end());
}

std::string Attributes::ToString() const {
  return absl::StrJoin(attributes_, ",", [](std::string* out, const proto::Attribute& a) {
    absl::StrAppend(out, a.name(), "=", ValueText(a));
  });
}

}  // namespace millrace
