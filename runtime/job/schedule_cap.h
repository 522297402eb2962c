// What the schedule allows, and where the rest of a step went.
#ifndef RUNTIME_JOB_SCHEDULE_CAP_H_
#define RUNTIME_JOB_SCHEDULE_CAP_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

// The step as a sum: seconds of each part; they add up to the step (the last one may be below 0 where measured kernels
// were faster together than their means say).
struct StepParts {
  double work = 0;       // mean of the ranks' time in kernels: the step of a perfectly balanced plan without a bubble
  double imbalance = 0;  // what the busiest rank does beyond that
  double bubble = 0;     // what the schedule adds to the busiest rank's work
  double end = 0;        // reduce, norm, optimizer, gather, packing
  double transfers = 0;  // the rest: transfers and, where measured, waiting for a core

  double step() const { return work + imbalance + bubble + end + transfers; }
};

// A measured step taken apart. Each figure is a run of the same lists on paper, with the kernels' measured mean times
// and more of the real costs each time; the differences say what each kind of cost adds. Seconds.
struct ScheduleCap {
  double mean = 0;      // of the ranks' forward and backward work
  double ideal = 0;     // the busiest rank's forward and backward work: no bubble at all
  double cap = 0;       // the schedule's own time: transfers, collectives and optimizer cost nothing
  double with_end = 0;  // and the end of the step (reduce, norm, step, gather, prepare) as measured
  double measured = 0;  // the step itself: what is left over is transfers and waiting for a core

  StepParts parts() const { return {mean, ideal - mean, cap - ideal, with_end - cap, measured - with_end}; }
  double cap_share() const { return measured > 0 ? cap / measured : 0; }  // of the schedule's cap reached
  double schedule_share() const { return cap > 0 ? ideal / cap : 0; }     // of the ideal that the schedule allows
};

// `measured` (or predicted) is of the plan's program `train`; FAILED_PRECONDITION otherwise.
absl::StatusOr<ScheduleCap> MakeScheduleCap(const proto::ExecutionPlan& plan, const proto::StepTrace& measured);

// "compute: the kernels are 87 % of the step", ...: the largest part, in words.
std::string LimitText(const StepParts& parts);

// Three lines for a terminal.
std::string ScheduleCapText(const ScheduleCap& cap, const std::string& schedule);

}  // namespace millrace

#endif  // RUNTIME_JOB_SCHEDULE_CAP_H_
