#include "partitioner/cost_graph/json_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

absl::Status Bad(const char* name, absl::string_view where, absl::string_view must) {
  return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, ": '", name, "' must be ", must));
}

const nlohmann::json* Find(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text) {
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::InvalidArgumentError("cost graph: it begins like JSON but is no JSON object");
  }
  return json;
}

absl::StatusOr<double> NumberAt(const nlohmann::json& object, const char* name, absl::string_view where) {
  const nlohmann::json* field = Find(object, name);
  if (field == nullptr || !field->is_number()) return Bad(name, where, "a number");
  const double value = field->get<double>();
  if (!std::isfinite(value) || value < 0) return Bad(name, where, "finite and not negative");
  return value;
}

absl::StatusOr<int64_t> IntegerAt(const nlohmann::json& object, const char* name, absl::string_view where) {
  const nlohmann::json* field = Find(object, name);
  if (field == nullptr || !field->is_number()) return Bad(name, where, "a whole number");
  const double value = field->get<double>();
  if (!(std::abs(value) <= 0x1p53) || value != std::floor(value)) return Bad(name, where, "a whole number");
  return static_cast<int64_t>(value);
}

absl::StatusOr<bool> FlagAt(const nlohmann::json& object, const char* name, absl::string_view where) {
  const nlohmann::json* field = Find(object, name);
  if (field != nullptr && field->is_boolean()) return field->get<bool>();
  if (field != nullptr && field->is_number() && (field->get<double>() == 0 || field->get<double>() == 1)) {
    return field->get<double>() == 1;
  }
  return Bad(name, where, "true, false, 0 or 1");
}

absl::StatusOr<const nlohmann::json*> ListAt(const nlohmann::json& object, const char* name, absl::string_view where) {
  const nlohmann::json* field = Find(object, name);
  if (field == nullptr || !field->is_array()) return Bad(name, where, "a list");
  return field;
}

}  // namespace millrace
