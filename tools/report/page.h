// The house's HTML page: one file that needs no network and runs no script, light and dark, fit for paper.
#ifndef TOOLS_REPORT_PAGE_H_
#define TOOLS_REPORT_PAGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace millrace {

// A whole document. `title` is text from anywhere and is escaped; `body` is HTML whose texts went through HtmlText. The
// content policy forbids everything but the page's own style sheet.
std::string Page(absl::string_view title, absl::string_view body);

// A table of texts: escaped; the first `left` columns are aligned left, the others as numbers. A row may be shorter
// than the head. `caption` may be empty.
struct HtmlTable {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  int left = 1;
  bool last_left = false;  // the last column is text, too

  std::string Print() const;
};

// A stacked bar: parts with a style class of the page's ("f", "b", "w", "bw", "r", "load", "coll", "opt" for work;
// "fill", "data", "link", "slot", "peer", "core", "done" for waiting; "m0" to "m5" for memory) and a text that says
// what it is.
struct BarPart {
  std::string style, text;  // `text` is escaped
  double size = 0;
};
// As wide as the sum of its parts over `whole`. With a label for those who cannot see it.
std::string Bar(absl::string_view style, const std::vector<BarPart>& parts, double whole, absl::string_view label);

// One line: coloured squares and what they mean.
std::string Legend(const std::vector<BarPart>& parts);

}  // namespace millrace

#endif  // TOOLS_REPORT_PAGE_H_
