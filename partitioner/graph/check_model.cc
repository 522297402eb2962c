#include "partitioner/graph/check_model.h"

#include <cmath>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/catalogue.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Bad(const std::string& what, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", why));
}

bool IsSupported(DType dtype) {
  return IsFloat(dtype) || dtype == proto::I32 || dtype == proto::I64;
}

absl::Status CheckType(const std::string& what, const TensorSpec& spec) {
  if (!IsSupported(spec.dtype)) return Bad(what, "its type must be f32, f64, bf16, f16, i32 or i64");
  return CheckSize(what, spec);
}

absl::Status CheckInitializer(const std::string& what, const TensorSpec& spec, const proto::Initializer& initializer) {
  const proto::Initializer::Kind kind = initializer.kind();
  if (!std::isfinite(initializer.value()) || !std::isfinite(initializer.scale()) || initializer.scale() < 0) {
    return Bad(what, "its initializer's value and scale must be finite, the scale not negative");
  }
  switch (kind) {
    case proto::Initializer::ZEROS:
    case proto::Initializer::ONES:
    case proto::Initializer::CONSTANT:
    case proto::Initializer::IOTA:
      return absl::OkStatus();
    case proto::Initializer::NORMAL:
    case proto::Initializer::UNIFORM:
      if (!IsFloat(spec.dtype)) return Bad(what, "a random initializer needs a floating-point type");
      return absl::OkStatus();
    case proto::Initializer::ROTARY_COS:
    case proto::Initializer::ROTARY_SIN:
      if (!IsFloat(spec.dtype) || spec.dims.size() != 2 || initializer.value() <= 0) {
        return Bad(what, "a rotary table is floating-point [positions, size / 2], and its theta (value) is positive");
      }
      return absl::OkStatus();
    case proto::Initializer::DATA:
      if (static_cast<int64_t>(initializer.data().size()) != spec.bytes()) {
        return Bad(what, absl::StrCat("its initializer holds ", initializer.data().size(), " bytes of data; ",
                                      spec.ToString(), " needs ", spec.bytes()));
      }
      return absl::OkStatus();
    default:
      return Bad(what, "its initializer has no kind this version knows");
  }
}

const char* KindText(char kind) {
  switch (kind) {
    case 'i':
      return "an integer";
    case 'f':
      return "a number";
    case 's':
      return "a string";
    case 'I':
      return "a list of integers";
    default:
      return "64 bits";
  }
}

bool HasKind(const proto::Attribute& attribute, char kind) {
  switch (kind) {
    case 'i':
      return attribute.has_i();
    case 'f':
      return (attribute.has_f() && std::isfinite(attribute.f())) || attribute.has_i();
    case 's':
      return attribute.has_s();
    case 'I':
      return attribute.has_ints();
    default:
      return attribute.has_u();
  }
}

absl::Status CheckAttributes(const proto::Node& node, const OpEntry& entry) {
  std::set<std::string> seen;
  for (const proto::Attribute& attribute : node.attributes()) {
    const std::string what = absl::StrCat(NodeText(node), ": attribute ", QuotedName(attribute.name()));
    if (!seen.insert(attribute.name()).second) return Bad(what, "is given twice");
    char kind = 0;
    for (const std::string& allowed : entry.attributes) {
      if (allowed.substr(0, allowed.size() - 2) == attribute.name()) kind = allowed.back();
    }
    if (kind == 0) {
      return Bad(what, entry.attributes.empty()
                           ? "this operator takes none"
                           : absl::StrCat("is not one of this operator's: ", absl::StrJoin(entry.attributes, ", ")));
    }
    if (!HasKind(attribute, kind)) return Bad(what, absl::StrCat("must be ", KindText(kind)));
    if (attribute.ints().values_size() > 4096) return Bad(what, "holds more than 4096 integers");
  }
  return absl::OkStatus();
}

template <typename Names>
absl::Status CheckCount(const std::string& what, const char* side, const Names& names, int required, int most) {
  if (names.size() > most)
    return Bad(what, absl::StrCat("has ", names.size(), " ", side, "s; at most ", most, " allowed"));
  for (int i = 0; i < required; ++i) {
    if (i >= names.size() || names[i].empty()) {
      return Bad(what, absl::StrCat("has ", names.size(), " ", side, "s; ", side, " ", i, " is required"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string QuotedName(absl::string_view name) {
  constexpr size_t kShown = 96;
  std::string text = absl::CHexEscape(name.substr(0, kShown));
  if (name.size() > kShown) text += "...";
  return absl::StrCat("\"", text, "\"");
}

std::string NodeText(const proto::Node& node) {
  return absl::StrCat("node ", QuotedName(node.name()), " (", absl::CHexEscape(absl::string_view(node.op()).substr(0, 64)),
                      ")");
}

absl::Status CheckName(const std::string& what, absl::string_view name) {
  if (name.empty()) return Bad(what, "has no name");
  if (name.size() > kMaxNameBytes) {
    return Bad(what, absl::StrCat("its name ", QuotedName(name), " is longer than ", kMaxNameBytes, " bytes"));
  }
  for (unsigned char c : name) {
    if (c < 0x20 || c == 0x7f) return Bad(what, absl::StrCat("its name ", QuotedName(name), " holds a control character"));
  }
  if (absl::StartsWith(name, "d/") || absl::StartsWith(name, "grad/")) {
    return Bad(what, absl::StrCat("its name ", QuotedName(name), " begins like a gradient's (d/, grad/); choose another"));
  }
  return absl::OkStatus();
}

absl::Status CheckSize(const std::string& what, const TensorSpec& spec) {
  if (static_cast<int>(spec.dims.size()) > kMaxRank) {
    return Bad(what, absl::StrCat("has ", spec.dims.size(), " dimensions; at most ", kMaxRank, " are supported"));
  }
  int64_t elements = 1;
  for (int64_t d : spec.dims) {
    if (d < 1) return Bad(what, absl::StrCat("size ", d, " in ", spec.ToString(), " must be positive"));
    if (d > kMaxElements || elements > kMaxElements / d) {
      return Bad(what, absl::StrCat(spec.ToString(), " has more than 2^40 elements"));
    }
    elements *= d;
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorSpec> BindInput(const proto::Input& input, int64_t micro_batch) {
  const std::string what = absl::StrCat("input ", QuotedName(input.name()));
  TensorSpec spec = TensorSpec::Of(input.type());
  if (spec.dims.size() > kMaxRank) return CheckSize(what, spec);
  for (int64_t& d : spec.dims) {
    if (d == -1) d = micro_batch;
  }
  MR_RETURN_IF_ERROR(CheckType(what, spec));
  const proto::Input::Role role = input.role();
  if ((role == proto::Input::TOKENS || role == proto::Input::LABELS) && spec.dtype != proto::I64) {
    return Bad(what, absl::StrCat("tokens and labels are i64, not ", std::string(Name(spec.dtype))));
  }
  if (role == proto::Input::FEATURES && !IsFloat(spec.dtype)) return Bad(what, "features are floating-point");
  return spec;
}

absl::Status CheckParameter(const proto::Parameter& parameter) {
  const std::string what = absl::StrCat("parameter ", QuotedName(parameter.name()));
  const TensorSpec spec = TensorSpec::Of(parameter.type());
  for (int64_t d : spec.dims) {
    if (d == -1) return Bad(what, "its sizes must be concrete; -1 is for inputs");
  }
  MR_RETURN_IF_ERROR(CheckType(what, spec));
  const bool asks_training = parameter.has_trainable() && parameter.trainable();
  if (parameter.constant() && asks_training) return Bad(what, "cannot be both constant and trainable");
  const bool trainable = !parameter.constant() && (!parameter.has_trainable() || parameter.trainable());
  if (trainable && !IsFloat(spec.dtype)) {
    return Bad(what,
               absl::StrCat("of type ", std::string(Name(spec.dtype)), " cannot be trained; set trainable: false"));
  }
  return CheckInitializer(what, spec, parameter.initializer());
}

absl::Status CheckNode(const proto::Node& node) {
  const std::string what = NodeText(node);
  const OpEntry* entry = FindOp(node.op());
  if (entry == nullptr || !entry->submitted) {
    const std::string nearest = NearestOp(node.op());
    return Bad(what,
               absl::StrCat("unknown operator", nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
  }
  MR_RETURN_IF_ERROR(CheckCount(what, "input", node.inputs(), entry->required_inputs, entry->max_inputs));
  MR_RETURN_IF_ERROR(CheckCount(what, "output", node.outputs(), entry->required_outputs, entry->max_outputs));
  if (entry->max_inputs > 8 || entry->max_outputs > 8) {  // variadic: no holes
    MR_RETURN_IF_ERROR(CheckCount(what, "input", node.inputs(), node.inputs_size(), node.inputs_size()));
    MR_RETURN_IF_ERROR(CheckCount(what, "output", node.outputs(), node.outputs_size(), node.outputs_size()));
  }
  return CheckAttributes(node, *entry);
}

}  // namespace millrace
