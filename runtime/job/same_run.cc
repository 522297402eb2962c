#include "runtime/job/same_run.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/job/agree.h"

namespace millrace {
namespace {

// What must be the same, one setting a line, so that a difference can be read.
std::string Steering(const proto::JobConfig& config) {
  proto::JobConfig steering = config;
  steering.clear_out_dir();
  steering.clear_resume();
  steering.clear_threads();
  steering.clear_quiet();
  steering.mutable_data()->clear_path();
  steering.mutable_data()->clear_validation_path();
  return steering.DebugString();
}

}  // namespace

absl::Status CheckSameRun(const proto::ExecutionPlan& plan, const proto::JobConfig& config, Ranks* ranks) {
  MR_RETURN_IF_ERROR(CheckSameText("the plan", plan.hash(), ranks));
  return CheckSameText("the job", Steering(config), ranks);
}

absl::Status CheckSameText(absl::string_view what, absl::string_view mine, Ranks* ranks) {
  if (ranks->all_here()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(const std::string roots, FromRoot(ranks, std::string(mine)));
  absl::Status status;
  if (roots != std::string(mine)) {
    status = absl::FailedPreconditionError(absl::StrCat(what, " is not the same in all processes: here\n", mine,
                                                        "\nbut where rank 0 runs\n", roots,
                                                        "\nstart all of them with the same plan and flags"));
  }
  return AllOk(ranks, status);
}

}  // namespace millrace
