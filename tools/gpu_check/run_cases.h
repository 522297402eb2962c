// Runs the linked GoogleTest suites and notes how each case ended.
#ifndef TOOLS_GPU_CHECK_RUN_CASES_H_
#define TOOLS_GPU_CHECK_RUN_CASES_H_

#include <string>
#include <vector>

#include "tools/gpu_check/report.h"

namespace millrace {

// Those that the filter names, in GoogleTest's form. Once in a process.
std::vector<CheckedCase> RunCases(const std::string& filter);

}  // namespace millrace

#endif  // TOOLS_GPU_CHECK_RUN_CASES_H_
