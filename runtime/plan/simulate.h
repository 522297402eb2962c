// The second interpreter: when will every instruction run?
#ifndef RUNTIME_PLAN_SIMULATE_H_
#define RUNTIME_PLAN_SIMULATE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

struct SimulatedRank {
  double busy_seconds = 0;        // inside RUN
  double forward_seconds = 0;
  double backward_seconds = 0;    // B and BW
  double weight_seconds = 0;      // W
  double communication_seconds = 0;  // exposed: the compute channel waited for it
  double idle_seconds = 0;        // step - busy
  double span_seconds = 0;        // end of the last RUN - start of the first
};

// Work of all instructions of a kind, waiting left out, on the rank that spends most on it.
struct OutsideRuns {
  double load = 0, reduce = 0, norm = 0, step = 0, gather = 0, prepare = 0;
};

struct Simulation {
  proto::StepTrace trace;       // predicted
  double seconds = 0;           // from one step's start to the next: makespan of the whole program
  double pipeline_seconds = 0;  // from the start of the first RUN to the end of the last, over all ranks
  OutsideRuns parts;
  // 1 - mean busy time / longest span of a rank (Zero Bubble paper, for equal stages).
  double bubble_rate = 0;
  // (longest span - busiest rank's busy time) / busiest rank's busy time: over the ideal.
  double bubble_over_ideal = 0;
  std::vector<SimulatedRank> ranks;
  std::vector<int> peak_in_flight;  // per stage: micro-batches whose F has begun and whose B has not ended
};

// Event-driven (runtime/plan/play.h), from the durations in the plan (runtime/plan/durations.h). FAILED_PRECONDITION with the stuck ranks when the plan deadlocks.
absl::StatusOr<Simulation> Simulate(const proto::ExecutionPlan& plan, absl::string_view program);

// The same figures from a measured trace of the same plan.
absl::StatusOr<Simulation> Summarize(const proto::ExecutionPlan& plan, const proto::StepTrace& trace);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SIMULATE_H_
