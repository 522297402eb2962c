// How long a program's instructions and meetings take by themselves, and what they share: what the engine
// (runtime/plan/play.h) runs the lists against.
#ifndef RUNTIME_PLAN_DURATIONS_H_
#define RUNTIME_PLAN_DURATIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Ranks that compete for cores.
struct CoreGroup {
  int cores = 1;
  int most_busy = 1;  // cores that are busy when all its ranks are
};

struct Durations {
  std::vector<std::vector<double>> instructions;  // [rank][instruction]; of what meets nobody, alone
  std::vector<double> meetings;                   // by index in the wiring
  // The rest may be empty: nothing is shared, every duration is as it stands.
  std::vector<std::vector<double>> shared;  // [rank][instruction]: while all of the rank's group are busy
  std::vector<CoreGroup> groups;
  std::vector<int> group_of_rank;  // index into groups, -1: the rank has its cores to itself
  std::vector<int> threads;        // by rank
  // By meeting: the part of its duration that nobody else can slow, and the wire whose bandwidth the rest uses; -1:
  // none.
  std::vector<double> latencies;
  std::vector<int> wire_of_meeting;
  int wires = 0;
};

// The durations written in the plan. A RUN takes its phase's seconds alone and shared; other instructions are the same
// in both. A transfer follows its PlannedLink, where the plan has one from rank to rank, else its instruction's seconds.
// INVALID_ARGUMENT (rule "figures") when one is negative or not finite.
absl::StatusOr<Durations> PlannedDurations(const proto::ExecutionPlan& plan, const proto::Program& program,
                                           const Wiring& wiring);

}  // namespace millrace

#endif  // RUNTIME_PLAN_DURATIONS_H_
