// What a check found, as it is printed and as it is written to a JSON file.
#ifndef TOOLS_GPU_CHECK_REPORT_H_
#define TOOLS_GPU_CHECK_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace millrace {

// A test case. Where `failed` and `skipped` are false it passed.
struct CheckedCase {
  std::string suite;
  std::string name;
  bool failed = false;
  bool skipped = false;
  std::string why;  // of a failure or a skip
  double seconds = 0;
};

// A measured number. `roof` is what the device gives at best where that was measured or is known, in the same unit; 0:
// not known. A figure that could not be measured has no value and says why.
struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  double roof = 0;
  std::string why;
};

struct CheckReport {
  std::string part;  // what was asked for
  std::string gpu;   // empty: none
  std::string libraries;
  std::string trouble;  // why nothing was checked; empty: it was
  std::vector<CheckedCase> cases;
  std::vector<Figure> figures;

  bool failed() const;
};

// Failures and skips with their reasons, each suite in one line, the figures as a table.
void Print(const CheckReport& report);
absl::Status WriteJson(const CheckReport& report, const std::string& path);

}  // namespace millrace

#endif  // TOOLS_GPU_CHECK_REPORT_H_
