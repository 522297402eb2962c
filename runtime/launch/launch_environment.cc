#include "runtime/launch/launch_environment.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/cores.h"
#include "proto/text_proto.h"

extern char** environ;

namespace millrace {
namespace {

constexpr uint64_t kSmallFileBytes = uint64_t{1} << 20;

}  // namespace

const std::string* LaunchEnvironment::Find(absl::string_view name) const {
  const auto found = variables.find(std::string(name));
  return found == variables.end() ? nullptr : &found->second;
}

absl::StatusOr<std::string> LaunchEnvironment::ReadSmallFile(absl::string_view absolute_path) const {
  return ReadFile(absl::StrCat(root, absolute_path), kSmallFileBytes);
}

LaunchEnvironment ThisProcessEnvironment(LaunchFlags flags) {
  LaunchEnvironment environment;
  environment.flags = std::move(flags);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == absl::string_view::npos) continue;
    environment.variables.emplace(text.substr(0, equals),
                                  text.substr(equals + 1));  // the first of equal names, as getenv
  }
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0) environment.host_name = name;
  environment.cores = FindAllowedCores("").cores;
  return environment;
}

std::string QuotedValue(absl::string_view text) {
  constexpr size_t kLongest = 60;
  const bool cut = text.size() > kLongest;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kLongest)), cut ? "..." : "", "'");
}

}  // namespace millrace
