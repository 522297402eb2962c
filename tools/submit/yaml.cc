#include "tools/submit/yaml.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

// Keys and words that no reader of YAML takes for anything but text: they begin with a letter, and are none of the
// words (yes, null, on, ...) that some readers turn into another type. Anything else is quoted as in JSON.
std::string Text(const std::string& text) {
  static constexpr const char* kOtherTypes[] = {"true", "false", "yes", "no",  "on", "off",
                                                "null", "y",     "n",   "inf", "nan"};
  const bool plain = !text.empty() && absl::ascii_isalpha(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./", absl::string_view(&c, 1));
  }) && std::none_of(std::begin(kOtherTypes), std::end(kOtherTypes), [&](const char* word) {
    return absl::EqualsIgnoreCase(text, word);
  });
  return plain ? text : Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

std::string Scalar(const Json& value) {
  if (value.is_string()) return Text(value.get<std::string>());
  if (value.is_object()) return "{}";
  if (value.is_array()) return "[]";
  return value.dump();
}

void Append(const Json& value, int depth, bool after_dash, std::string* out) {
  bool first = true;
  const auto indent = [&] {
    if (!(first && after_dash)) out->append(2 * depth, ' ');
    first = false;
  };
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      indent();
      if (child.is_structured() && !child.empty()) {
        absl::StrAppend(out, Text(key), ":\n");
        // A list stands as deep as its key, as people write it.
        Append(child, child.is_array() ? depth : depth + 1, false, out);
      } else {
        absl::StrAppend(out, Text(key), ": ", Scalar(child), "\n");
      }
    }
    return;
  }
  for (const Json& child : value) {
    indent();
    absl::StrAppend(out, "- ");
    if (child.is_structured() && !child.empty()) {
      Append(child, depth + 1, true, out);
    } else {
      absl::StrAppend(out, Scalar(child), "\n");
    }
  }
}

}  // namespace

std::string Yaml(const Json& value) {
  if (!value.is_structured() || value.empty()) return absl::StrCat(Scalar(value), "\n");
  std::string out;
  Append(value, 0, false, &out);
  return out;
}

std::string YamlDocuments(const std::vector<Json>& documents) {
  return absl::StrJoin(documents, "---\n", [](std::string* out, const Json& value) { out->append(Yaml(value)); });
}

}  // namespace millrace
