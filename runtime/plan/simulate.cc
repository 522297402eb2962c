#include "runtime/plan/simulate.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/figures.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/play.h"
#include "runtime/plan/wiring.h"

namespace millrace {
namespace {

absl::StatusOr<const proto::Program*> ProgramOf(const proto::ExecutionPlan& plan, absl::string_view name) {
  const proto::Program* program = FindProgram(plan, name);
  if (program != nullptr) return program;
  return absl::NotFoundError(absl::StrCat("the plan has no program ", Quoted(name)));
}

}  // namespace

absl::StatusOr<Simulation> Simulate(const proto::ExecutionPlan& plan, absl::string_view name) {
  MR_ASSIGN_OR_RETURN(const proto::Program* program, ProgramOf(plan, name));
  MR_ASSIGN_OR_RETURN(const Wiring wiring, Wire(plan, *program));
  MR_ASSIGN_OR_RETURN(const Durations durations, PlannedDurations(plan, *program, wiring));
  MR_ASSIGN_OR_RETURN(const auto played, Play(*program, wiring, durations));
  proto::StepTrace trace;
  trace.set_schema_version(kSchemaVersion);
  trace.set_plan_hash(plan.hash());
  trace.set_program(std::string(name));
  trace.set_predicted(true);
  double seconds = 0;
  for (size_t rank = 0; rank < played.size(); ++rank) {
    for (size_t i = 0; i < played[rank].size(); ++i) {
      proto::Span& span = *trace.add_spans();
      span.set_rank(rank);
      span.set_instruction(i);
      span.set_start_seconds(played[rank][i].turn);
      span.set_wait_seconds(played[rank][i].begin - played[rank][i].turn);
      span.set_end_seconds(played[rank][i].end);
      seconds = std::max(seconds, played[rank][i].end);
    }
  }
  trace.set_step_seconds(seconds);
  return FiguresOf(*program, std::move(trace));
}

absl::StatusOr<Simulation> Summarize(const proto::ExecutionPlan& plan, const proto::StepTrace& trace) {
  if (trace.plan_hash() != plan.hash()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the trace is of plan ", trace.plan_hash().substr(0, 64), ", not of ", plan.hash().substr(0, 64)));
  }
  MR_ASSIGN_OR_RETURN(const proto::Program* program, ProgramOf(plan, trace.program()));
  return FiguresOf(*program, trace);
}

}  // namespace millrace
