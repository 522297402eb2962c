// Predicted against measured, stage by stage, rank by rank and instruction by instruction: how well the cut balances,
// and how well it was foreseen.
#ifndef RUNTIME_JOB_BALANCE_H_
#define RUNTIME_JOB_BALANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/plan/attribute.h"
#include "runtime/plan/simulate.h"

namespace millrace {

// Bytes.
struct MemoryByKind {
  uint64_t parameters = 0, gradients = 0, optimizer = 0, packed = 0;
  uint64_t transient = 0;  // pools and scratch: what schedules fill
  uint64_t other = 0;      // metrics, staging
  uint64_t arena = 0;      // all of it
  uint64_t outside = 0;    // of libraries, beside the arena
  uint64_t limit = 0;      // of the device; 0: none
};

// The regions of a rank's arena, added up.
MemoryByKind MemoryOf(const proto::Rank& rank);

struct RankBalance {
  int rank = 0;
  std::vector<int> stages;
  SimulatedRank predicted, measured;
  MemoryByKind memory;
};

// One instruction of the compute channel: seconds of its work, waiting left out.
struct InstructionTimes {
  int rank = 0, instruction = 0, stage = -1;
  std::string name;  // "2F0"
  double predicted = 0, measured = 0;

  double difference() const { return measured - predicted; }
  double ratio() const { return predicted > 0 ? measured / predicted : 0; }  // 0: predicted to take no time
};

struct Balance {
  std::vector<RankBalance> ranks;
  double predicted_seconds = 0, measured_seconds = 0;  // of a step
  double predicted_bubble = 0, measured_bubble = 0;
  // (busiest rank's time in kernels - mean) / mean: 0 is perfect balance, 0.25 means that the busiest rank does a
  // quarter more than the mean.
  double predicted_imbalance = 0, measured_imbalance = 0;
  int busiest_rank = 0;  // as measured
  // Where every rank's and stage's time went.
  Attribution predicted, measured;
  // Ten at most, the worst first: by |measured - predicted|; and RUNs by how many times longer or shorter they were
  // than predicted, those only that take a thousandth of the step or more.
  std::vector<InstructionTimes> worst_by_difference, worst_by_ratio;
};

// Both traces must be of this plan's program `train`: FAILED_PRECONDITION otherwise. INVALID_ARGUMENT for spans that
// are not the plan's.
absl::StatusOr<Balance> MakeBalance(const proto::ExecutionPlan& plan, const proto::StepTrace& predicted,
                                    const proto::StepTrace& measured);

// Of all instructions of the compute channel that both traces have, in order of rank and instruction.
std::vector<InstructionTimes> CompareInstructions(const proto::Program& train, const proto::StepTrace& predicted,
                                                  const proto::StepTrace& measured);

}  // namespace millrace

#endif  // RUNTIME_JOB_BALANCE_H_
