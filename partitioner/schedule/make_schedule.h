// Every schedule by name: a request in, an action list out.
#ifndef PARTITIONER_SCHEDULE_MAKE_SCHEDULE_H_
#define PARTITIONER_SCHEDULE_MAKE_SCHEDULE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

struct ScheduleRequest {
  std::string kind;       // one of ScheduleKinds()
  int ranks = 1;          // p
  int chunks = 1;         // v of "interleaved"; the V-schedules have 2, written 1 or 2; all others 1
  int micro_batches = 1;  // m
  // Seconds (or any unit) of one micro-batch on the WHOLE of a rank's layers, and of one transfer from a rank to the
  // next (either way). Each list is empty (1, 1, 1 and 0), one value for all ranks, or one value for each; a rank's
  // time then divides equally among its chunks. Or it is one value for each of the ranks * chunks stages, of that stage
  // alone.
  std::vector<double> forward;
  std::vector<double> backward_input;
  std::vector<double> backward_weight;
  // [r] from rank r to the next one; the last is used by interleaved chunks only. By stage: [s] from s to s + 1.
  std::vector<double> communication;
  // "zb-auto" only: what a rank may hold, in whole-rank micro-batches, of which B frees one half and W the other.
  // 0: no limit.
  double memory_limit = 0;
  // Of what a stage holds between F and B, the share that it holds between B and W. The V-schedules run W's sooner
  // where it is large, so as to hold no more than they say.
  double weight_stash = 0.5;
};

// INVALID_ARGUMENT says which part of the request is at fault: an unknown kind, numbers below 1 or too large, lists of
// another length, times that are negative or not finite, too few micro-batches for the kind ("dualpipev"
// needs 2p), a memory limit that the kind cannot keep.
// The result passes VerifySchedule and CheckTrainSchedule. Kinds that place by the times (interleaved, zb-auto, the V's)
// do so by each stage's own, and are never slower than what the mean of every list would give them.
absl::StatusOr<Schedule> MakeSchedule(const ScheduleRequest& request);

// In the order in which a list of choices shows them.
std::vector<std::string> ScheduleKinds();

// The request's times as times of the stages (chunks) of its schedule; the stash of a stage is 1 / chunks, so that
// memory is counted in whole-rank micro-batches. Fails as MakeSchedule does.
absl::StatusOr<ScheduleCosts> CostsOfRequest(const ScheduleRequest& request);

// The same for stages that stand elsewhere, as in a schedule from a file. Only the times and, for messages, the kind of
// the request are looked at.
absl::StatusOr<ScheduleCosts> CostsOfStages(const ScheduleRequest& request, const std::vector<int>& rank_of_stage);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_MAKE_SCHEDULE_H_
