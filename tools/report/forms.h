// The forms of a report. All tell the same numbers; those for machines in seconds and bytes.
#ifndef TOOLS_REPORT_FORMS_H_
#define TOOLS_REPORT_FORMS_H_

#include <string>

#include "runtime/plan/draw.h"
#include "tools/report/report.h"

namespace millrace {

// For a terminal of 100 columns; each line ended.
std::string ReportText(const Report& report, const DrawOptions& draw);

// One object.
std::string ReportJson(const Report& report);

// A page of its own: no network, no script, light and dark, prints (docs/report.md).
std::string ReportHtml(const Report& report);

// RFC 4180 with a header row: one row for each instruction of each rank; one row for each stage.
std::string InstructionsCsv(const Report& report);
std::string StagesCsv(const Report& report);

// Chrome's trace format, which Perfetto reads: a process for each rank, measured and predicted, with one track for
// compute and one for each direction to and from a peer; waiting and work are events of their own that never overlap on
// a track; a flow from every SEND to its RECV. Times in microseconds.
std::string ChromeTrace(const Report& report);

}  // namespace millrace

#endif  // TOOLS_REPORT_FORMS_H_
