#include "runtime/job/evaluate.h"

#include <algorithm>
#include <vector>

#include "proto/status_macros.h"
#include "runtime/job/agree.h"
#include "runtime/job/plan_facts.h"
#include "runtime/plan/plan.h"

namespace millrace {

LoadFn FeedOf(const DataSource& source, const proto::ExecutionPlan& plan, const proto::Program& program) {
  const uint64_t per_step = SamplesPerStep(plan, program), samples = program.micro_batch_size();
  return [&source, per_step, samples](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                      uint64_t bytes) {
    return source.Fetch(input, step * per_step + micro_batch * samples, samples, memory, bytes);
  };
}

absl::StatusOr<HeldOutLoss> Evaluate(const proto::ExecutionPlan& plan, const DataSource& source, uint64_t micro_batches,
                                     Ranks* ranks) {
  const proto::Program* eval = FindProgram(plan, "eval");
  if (eval == nullptr) return absl::FailedPreconditionError("the plan has no program named 'eval'");
  const uint64_t wanted = (micro_batches + eval->micro_batches() - 1) / eval->micro_batches();
  const uint64_t available = std::max<uint64_t>(1, source.samples_per_epoch() / SamplesPerStep(plan, *eval));
  const uint64_t runs = std::clamp<uint64_t>(wanted, 1, available);
  ranks->SetFeed(FeedOf(source, plan, *eval));
  HeldOutLoss total;
  std::vector<StepResult> results(ranks->size());
  for (uint64_t run = 0; run < runs; ++run) {
    MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
      seat.whereabouts->Begin("eval", 0);
      MR_ASSIGN_OR_RETURN(results[seat.rank], seat.worker->RunForward("eval", run));
      seat.whereabouts->Between("after an evaluation");
      return absl::OkStatus();
    }));
    MR_RETURN_IF_ERROR(Share(ranks, &results));
    for (const StepResult& result : results) {
      total.loss += result.loss_sum;
      total.count += result.loss_count;
    }
  }
  if (total.count > 0) total.loss /= total.count;
  return total;
}

}  // namespace millrace
