#include "tools/cli/flags.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/edit_distance.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status BadValue(absl::string_view name, absl::string_view text, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("--", name, "=", text, ": ", wanted, " is needed"));
}

}  // namespace

std::string Nearest(absl::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

FlagSet::Flag& FlagSet::Add(absl::string_view name, absl::string_view help, std::string initial) {
  Flag& flag = flags_.emplace_back();
  flag.name = std::string(name);
  flag.help = std::string(help);
  flag.initial = std::move(initial);
  return flag;
}

void FlagSet::Int(absl::string_view name, int64_t* value, absl::string_view help) {
  Add(name, help, absl::StrCat(*value)).set = [name = std::string(name), value](absl::string_view text) {
    return absl::SimpleAtoi(text, value) ? absl::OkStatus() : BadValue(name, text, "a whole number");
  };
}

void FlagSet::Uint(absl::string_view name, uint64_t* value, absl::string_view help) {
  Add(name, help, absl::StrCat(*value)).set = [name = std::string(name), value](absl::string_view text) {
    return absl::SimpleAtoi(text, value) ? absl::OkStatus() : BadValue(name, text, "a whole number, 0 or more,");
  };
}

void FlagSet::Double(absl::string_view name, double* value, absl::string_view help) {
  Add(name, help, absl::StrFormat("%g", *value)).set = [name = std::string(name), value](absl::string_view text) {
    double parsed = 0;
    if (!absl::SimpleAtod(text, &parsed) || !std::isfinite(parsed)) return BadValue(name, text, "a finite number");
    *value = parsed;
    return absl::OkStatus();
  };
}

void FlagSet::String(absl::string_view name, std::string* value, absl::string_view help) {
  Add(name, help, *value).set = [value](absl::string_view text) {
    *value = std::string(text);
    return absl::OkStatus();
  };
}

void FlagSet::Strings(absl::string_view name, std::vector<std::string>* value, absl::string_view help) {
  Add(name, help, absl::StrJoin(*value, ",")).set = [value](absl::string_view text) {
    *value = absl::StrSplit(text, ',', absl::SkipEmpty());
    return absl::OkStatus();
  };
}

void FlagSet::Bool(absl::string_view name, bool* value, absl::string_view help) {
  Flag& flag = Add(name, help, *value ? "true" : "false");
  flag.is_bool = true;
  flag.set = [name = std::string(name), value](absl::string_view text) {
    return absl::SimpleAtob(text, value) ? absl::OkStatus() : BadValue(name, text, "true or false");
  };
}

FlagSet::Flag* FlagSet::Find(absl::string_view name) {
  for (Flag& flag : flags_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

bool FlagSet::WasGiven(absl::string_view name) const {
  const Flag* flag = const_cast<FlagSet*>(this)->Find(name);
  return flag != nullptr && flag->given;
}

absl::Status FlagSet::Unknown(absl::string_view name) const {
  std::vector<std::string> names;
  for (const Flag& flag : flags_) names.push_back(flag.name);
  const std::string near = Nearest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", name, near.empty() ? "" : absl::StrCat("; did you mean --", near, "?")));
}

absl::Status FlagSet::Parse(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--") {
      positional_.insert(positional_.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      if (argument.size() > 1 && argument[0] == '-') {
        return absl::InvalidArgumentError(absl::StrCat("'", argument, "': flags begin with two dashes"));
      }
      positional_.emplace_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = absl::StrReplaceAll(argument.substr(0, equals), {{"_", "-"}});
    Flag* flag = Find(name);
    std::string value;
    if (flag == nullptr && equals == absl::string_view::npos && absl::StartsWith(name, "no-")) {
      flag = Find(absl::string_view(name).substr(3));
      if (flag == nullptr || !flag->is_bool) return Unknown(name);
      value = "false";
    } else if (flag == nullptr) {
      return Unknown(name);
    } else if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (flag->is_bool) {
      value = "true";
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    }
    MR_RETURN_IF_ERROR(flag->set(value));
    flag->given = true;
  }
  return absl::OkStatus();
}

std::string FlagSet::Help() const {
  size_t width = 0;
  for (const Flag& flag : flags_) width = std::max(width, flag.name.size());
  std::string out;
  for (const Flag& flag : flags_) {
    absl::StrAppendFormat(&out, "  --%-*s  %s", static_cast<int>(width), flag.name, flag.help);
    if (!flag.initial.empty() && !(flag.is_bool && flag.initial == "false")) {
      absl::StrAppend(&out, " [", flag.initial, "]");
    }
    out += '\n';
  }
  return out;
}

}  // namespace millrace
