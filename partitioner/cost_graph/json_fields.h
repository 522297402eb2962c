// Reading numbers and flags out of parsed JSON, with messages that say where.
#ifndef PARTITIONER_COST_GRAPH_JSON_FIELDS_H_
#define PARTITIONER_COST_GRAPH_JSON_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// INVALID_ARGUMENT for text that is no JSON object.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);

// Of the field `name` of `object`; `where` ("node 17") is for messages. INVALID_ARGUMENT when it is absent, of another
// type, negative or not finite.
absl::StatusOr<double> NumberAt(const nlohmann::json& object, const char* name, absl::string_view where);
absl::StatusOr<int64_t> IntegerAt(const nlohmann::json& object, const char* name, absl::string_view where);
absl::StatusOr<bool> FlagAt(const nlohmann::json& object, const char* name, absl::string_view where);  // or 0 and 1
// The field must be a list.
absl::StatusOr<const nlohmann::json*> ListAt(const nlohmann::json& object, const char* name, absl::string_view where);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_JSON_FIELDS_H_
