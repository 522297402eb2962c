// Strings from files (names of nodes, models, devices) made safe for where they are written.
#ifndef TOOLS_REPORT_ESCAPE_H_
#define TOOLS_REPORT_ESCAPE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

// Text of an HTML element or attribute: &, <, >, both quotes. Control characters, bytes that are no UTF-8, and the
// characters that turn the direction of text (U+202A to U+202E, U+2066 to U+2069) become U+FFFD; what is longer than
// `most` bytes is cut with "...".
std::string HtmlText(absl::string_view text, size_t most = 160);

// A field of a CSV file as RFC 4180 has it: quoted where it must be. One that a spreadsheet would take for a formula
// (=, +, -, @ first, and no number) gets an apostrophe before it.
std::string CsvField(absl::string_view text);

// One word for a POSIX shell, in single quotes where it needs them.
std::string ShellQuoted(absl::string_view word);

// For a terminal: control characters and bytes that are no UTF-8 become '?', long ones are cut.
std::string TerminalText(absl::string_view text, size_t most = 160);

}  // namespace millrace

#endif  // TOOLS_REPORT_ESCAPE_H_
