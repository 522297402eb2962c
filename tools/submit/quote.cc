#include "tools/submit/quote.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace millrace {

std::string ShellQuote(absl::string_view word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./:=,@%+", absl::string_view(&c, 1));
  });
  return plain ? std::string(word) : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

std::string ShellCommand(const std::vector<std::string>& argv, absl::string_view line_end) {
  return absl::StrJoin(argv, line_end,
                       [](std::string* out, const std::string& word) { absl::StrAppend(out, ShellQuote(word)); });
}

}  // namespace millrace
