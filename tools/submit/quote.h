// Words as a POSIX shell reads them back.
#ifndef TOOLS_SUBMIT_QUOTE_H_
#define TOOLS_SUBMIT_QUOTE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace millrace {

// As it stands where every byte is harmless, else in single quotes.
std::string ShellQuote(absl::string_view word);
// Words with spaces between; `line_end` after every word but the last folds a long command: " \\\n    ".
std::string ShellCommand(const std::vector<std::string>& argv, absl::string_view line_end = " ");

}  // namespace millrace

#endif  // TOOLS_SUBMIT_QUOTE_H_
