// Predicted against measured, rank by rank: how well the cut balances, and how well it was foreseen.
#ifndef RUNTIME_JOB_BALANCE_H_
#define RUNTIME_JOB_BALANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/plan/simulate.h"

namespace millrace {

struct MemoryByKind {
  uint64_t parameters = 0, gradients = 0, optimizer = 0, packed = 0;
  uint64_t transient = 0;  // pools and scratch: what schedules fill
  uint64_t other = 0;      // metrics, staging
  uint64_t arena = 0;      // all of it
  uint64_t limit = 0;      // of the device; 0: none
};

struct RankBalance {
  int rank = 0;
  std::vector<int> stages;
  SimulatedRank predicted, measured;
  MemoryByKind memory;
};

struct Balance {
  std::vector<RankBalance> ranks;
  double predicted_seconds = 0, measured_seconds = 0;  // of a step
  double predicted_bubble = 0, measured_bubble = 0;
  // Busiest rank over the mean, as measured: 1 is perfect balance.
  double imbalance = 0;
};

// Both traces must be of this plan's program `train`: FAILED_PRECONDITION otherwise.
absl::StatusOr<Balance> MakeBalance(const proto::ExecutionPlan& plan, const proto::StepTrace& predicted,
                                    const proto::StepTrace& measured);

// Tables for a terminal of 100 columns, each line ended: times, then memory.
std::string BalanceText(const Balance& balance);

}  // namespace millrace

#endif  // RUNTIME_JOB_BALANCE_H_
