// A JSON value as YAML that people read: blocks for objects and lists, JSON for everything else, which YAML contains.
#ifndef TOOLS_SUBMIT_YAML_H_
#define TOOLS_SUBMIT_YAML_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace millrace {

// Ends in a line end. Keys keep their order.
std::string Yaml(const nlohmann::ordered_json& value);
// Documents of one file, "---" between them.
std::string YamlDocuments(const std::vector<nlohmann::ordered_json>& documents);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_YAML_H_
