// The report of a run as commands offer it: `millrace report DIR`, and any other command that ends in one.
#ifndef TOOLS_CLI_REPORT_FLAGS_H_
#define TOOLS_CLI_REPORT_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tools/cli/flags.h"

namespace millrace {

struct ReportFlags {
  uint64_t step = 0;
  std::string model, html, trace, csv, stages_csv, costs, out;
  bool json = false, recut = true;

  void Declare(FlagSet* flags);
};

// Makes the report of the run in `folder`, writes the files that were asked for and prints the report on stdout, as
// text or JSON. `flags` is the set that the ReportFlags were declared on, after parsing.
absl::Status TellReport(const std::string& folder, const ReportFlags& wanted, const FlagSet& flags);

}  // namespace millrace

#endif  // TOOLS_CLI_REPORT_FLAGS_H_
