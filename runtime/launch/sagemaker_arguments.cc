// From SageMaker's files to the arguments of `millrace train`.
#include <dirent.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "proto/status_macros.h"
#include "runtime/launch/sagemaker.h"

namespace millrace {
namespace {

constexpr size_t kMostHyperparameters = 100;  // SageMaker's own bound
constexpr size_t kLongestValue = 2500;        // too

absl::Status Bad(absl::string_view from, absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(from, ": hyperparameter ", QuotedValue(name), ": ", why));
}

bool IsFlagName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && absl::ascii_isalpha(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

// A scalar as the text that a flag takes.
bool ScalarText(const nlohmann::json& value, std::string* text) {
  if (value.is_string()) {
    *text = value.get<std::string>();
  } else if (value.is_number() || value.is_boolean()) {
    *text = value.dump();
  } else {
    return false;
  }
  return true;
}

absl::StatusOr<std::string> ValueText(nlohmann::json value, absl::string_view from, absl::string_view name) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (text.size() > kLongestValue) return Bad(from, name, absl::StrCat("more than ", kLongestValue, " bytes"));
    nlohmann::json inner = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    // A number stays as it was written: 1e-3 must not become 0.001 on the way.
    if (inner.is_discarded() || inner.is_number()) return text;
    value = std::move(inner);
  }
  std::string text;
  if (ScalarText(value, &text)) return text;
  if (value.is_null()) return std::string();
  if (!value.is_array()) return Bad(from, name, "an object is no value of a flag");
  std::vector<std::string> items;
  for (const nlohmann::json& item : value) {
    if (!ScalarText(item, &items.emplace_back())) return Bad(from, name, "a list of lists is no value of a flag");
  }
  return absl::StrJoin(items, ",");
}

// The only file of a folder, or the folder itself when there are several or none.
std::string OnlyFileOf(const LaunchEnvironment& environment, const std::string& folder) {
  DIR* const open = opendir(absl::StrCat(environment.root, folder).c_str());
  if (open == nullptr) return "";
  const absl::Cleanup closer = [open] { closedir(open); };
  std::vector<std::string> names;
  while (const dirent* const entry = readdir(open)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
    if (names.size() > 1) return folder;
  }
  return names.size() == 1 ? absl::StrCat(folder, "/", names[0]) : folder;
}

}  // namespace

absl::StatusOr<Hyperparameters> ParseHyperparameters(absl::string_view text, absl::string_view from) {
  const nlohmann::json parsed = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(from, ": not a JSON object (", text.size(), " bytes)"));
  }
  if (parsed.size() > kMostHyperparameters) {
    return absl::InvalidArgumentError(
        absl::StrCat(from, ": ", parsed.size(), " hyperparameters; ", kMostHyperparameters, " are the most"));
  }
  Hyperparameters out;
  for (const auto& [name, value] : parsed.items()) {
    if (absl::StartsWith(name, "sagemaker_")) continue;
    if (!IsFlagName(name)) return Bad(from, name, "not a flag's name (letters, digits, '-', '_')");
    MR_ASSIGN_OR_RETURN(std::string text_of_value, ValueText(value, from, name));
    if (text_of_value.find('\0') != std::string::npos) return Bad(from, name, "holds a zero byte");
    out.emplace_back(name, std::move(text_of_value));
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> SageMakerTrainArguments(const LaunchEnvironment& environment) {
  const std::string folder = SageMakerFolder(environment);
  const std::string file = absl::StrCat(folder, "/input/config/hyperparameters.json");
  Hyperparameters given;
  const absl::StatusOr<std::string> text = environment.ReadSmallFile(file);
  if (text.ok()) {
    MR_ASSIGN_OR_RETURN(given, ParseHyperparameters(*text, file));
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  std::vector<std::string> arguments;
  const auto is_given = [&](absl::string_view flag) {
    return std::any_of(given.begin(), given.end(), [&](const auto& pair) { return pair.first == flag; });
  };
  const auto from_channel = [&](absl::string_view flag, absl::string_view channel) {
    const std::string path = OnlyFileOf(environment, absl::StrCat(folder, "/input/data/", channel));
    if (!path.empty() && !is_given(flag)) arguments.push_back(absl::StrCat("--", flag, "=", environment.root, path));
  };
  from_channel("data", "train");
  from_channel("validation", "validation");
  if (!is_given("model")) from_channel("plan", "plan");
  from_channel("job", "job");
  if (!is_given("out")) arguments.push_back(absl::StrCat("--out=", environment.root, folder, "/checkpoints"));
  if (!is_given("resume")) arguments.push_back("--resume=auto");
  for (const auto& [name, value] : given) arguments.push_back(absl::StrCat("--", name, "=", value));
  return arguments;
}

}  // namespace millrace
