#include "tools/cli/report_flags.h"

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "tools/cli/command.h"
#include "tools/cli/terminal.h"
#include "tools/report/forms.h"
#include "tools/report/report.h"

namespace millrace {
namespace {

absl::Status WriteForms(const Report& report, const ReportFlags& wanted) {
  struct Form {
    const std::string& path;
    const char* name;  // in --out
    std::string (*write)(const Report&);
  };
  const Form forms[] = {{wanted.html, "report.html", ReportHtml},
                        {wanted.trace, "trace.json", ChromeTrace},
                        {wanted.csv, "instructions.csv", InstructionsCsv},
                        {wanted.stages_csv, "stages.csv", StagesCsv},
                        {"", "report.json", ReportJson}};
  for (const Form& form : forms) {
    if (!form.path.empty()) MR_RETURN_IF_ERROR(WriteFileAtomically(form.path, form.write(report)));
    if (wanted.out.empty()) continue;
    MR_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(wanted.out, "/", form.name), form.write(report)));
  }
  if (!wanted.costs.empty()) MR_RETURN_IF_ERROR(WriteMessage(wanted.costs, report.measured_costs));
  if (!wanted.out.empty()) {
    MR_RETURN_IF_ERROR(WriteMessage(absl::StrCat(wanted.out, "/costs.pb"), report.measured_costs));
  }
  return absl::OkStatus();
}

}  // namespace

void ReportFlags::Declare(FlagSet* flags) {
  flags->Uint("step", &step, "the trace of this step; default: the last one kept");
  flags->String("html", &html, "write a page for a browser here");
  flags->String("trace", &trace, "write both steps as a Chrome trace here, for ui.perfetto.dev or chrome://tracing");
  flags->String("csv", &csv, "write a row for each instruction of each rank here");
  flags->String("stages-csv", &stages_csv, "write a row for each stage here");
  flags->String("costs", &costs, "write the measured costs as a CostTable here, for millrace partition --costs");
  flags->String("out", &out, "write all of these into this folder");
  flags->String("model", &model, "the model graph, where the run's folder has no model.pb: for the better cut");
  flags->Bool("recut", &recut, "look for a better cut");
  flags->Bool("json", &json, "print JSON");
}

absl::Status TellReport(const std::string& folder, const ReportFlags& wanted, const FlagSet& flags) {
  ReportOptions options;
  options.folder = folder;
  options.model = wanted.model;
  options.recut = wanted.recut;
  if (flags.WasGiven("step")) options.step = wanted.step;
  absl::StatusOr<Report> report = MakeReport(options);
  // A file of the run that is of another plan, or a plan that does not verify, is bad input.
  if (absl::IsFailedPrecondition(report.status())) return WithExit(report.status(), kExitBadInput);
  MR_RETURN_IF_ERROR(report.status());
  if (!wanted.out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(wanted.out, error);
    if (error) return WithExit(absl::NotFoundError(absl::StrCat(wanted.out, ": ", error.message())), kExitCannotCreate);
  }
  MR_RETURN_IF_ERROR(WriteForms(*report, wanted));
  const std::string text = wanted.json ? ReportJson(*report) + "\n" : ReportText(*report, DrawingForStdout());
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

}  // namespace millrace
