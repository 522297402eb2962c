// gpu_check: what a machine with a GPU shows of Millrace, without anything of a build. run.py calls it part by part.
//
//   gpu_check --part=kernels|training|communicators|processes|figures|speed [--json=FILE] [--filter=GOOGLETEST_FILTER]
//
// Exit code 0: everything that could run passed. 1: something failed. 2: the command line. 3: no CUDA device, and why.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "kernels/backends.h"
#include "runtime/comm/nccl/nccl.h"
#include "tools/gpu_check/figures.h"
#include "tools/gpu_check/report.h"
#include "tools/gpu_check/run_cases.h"
#include "tools/gpu_check/training_speed.h"

namespace millrace {
namespace {

constexpr int kFailed = 1, kUsage = 2, kNoDevice = 3;

// What each part runs; figures and speed have no cases.
const std::map<std::string, std::string> kParts = {
    {"kernels", "Cuda/*"},
    {"training", "Gpu/GpuTraining.*"},
    {"communicators", "GpusInProcess/*:NcclThreads/*:NcclAlone.*"},
    {"processes", "NcclProcesses/*"},  // one process of several: tests/gpu/gpu_ranks.h
    {"figures", ""},
    {"speed", ""},
};

int Usage(const std::string& why) {
  std::fprintf(stderr,
               "gpu_check: %s\n"
               "gpu_check --part=kernels|training|communicators|processes|figures|speed [--json=FILE] [--filter=CASES]\n",
               why.c_str());
  return kUsage;
}

int Run(int argc, char** argv) {
  std::string part, json, filter;
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    if (absl::ConsumePrefix(&flag, "--part=")) {
      part = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--json=")) {
      json = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--filter=")) {
      filter = std::string(flag);
    } else {
      return Usage(absl::StrCat("there is no flag ", flag));
    }
  }
  const auto known = kParts.find(part);
  if (known == kParts.end()) return Usage(absl::StrCat("there is no part '", part, "'"));

  CheckReport report;
  report.part = part;
  const absl::StatusOr<std::unique_ptr<Device>> device = OpenDevice("cuda", {});
  report.libraries = absl::StrCat(LibraryVersions("cuda"), NcclVersion().empty() ? ", no NCCL" : ", " + NcclVersion());
  if (device.ok()) {
    report.gpu = (*device)->name();
    if (part == "figures") {
      report.figures = MeasureAll(**device);
    } else if (part == "speed") {
      report.figures = MeasureAllTraining();
    } else {
      report.cases = RunCases(filter.empty() ? known->second : filter);
    }
  } else {
    report.trouble = absl::StrCat("no CUDA device: ", device.status().message());
  }
  Print(report);
  if (!json.empty()) {
    if (const absl::Status written = WriteJson(report, json); !written.ok()) {
      std::fprintf(stderr, "gpu_check: %s\n", std::string(written.message()).c_str());
      return kFailed;
    }
  }
  if (!device.ok()) return kNoDevice;
  return report.failed() ? kFailed : 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  int none = 1;
  testing::InitGoogleTest(&none, argv);  // its flags are ours to set
  return millrace::Run(argc, argv);
}
