// A schedule as a value: one list of actions per rank. Prints, parses, compares.
#ifndef RUNTIME_PLAN_ACTION_H_
#define RUNTIME_PLAN_ACTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"

namespace millrace {

// What a rank does with one micro-batch on one of its stages. Text: stage, kind, micro-batch: 2F0, 1B3 (input
// gradient), 0W2 (weight gradient), 0BW2 (both), 1R4 (recompute).
struct Action {
  int stage = 0;
  proto::Phase phase = proto::F;
  int micro_batch = 0;

  std::string ToString() const;
  static absl::StatusOr<Action> Parse(absl::string_view text);
  friend bool operator==(const Action&, const Action&) = default;
};

struct Schedule {
  int stages = 0;
  int micro_batches = 0;
  std::vector<int> rank_of_stage;
  std::vector<std::vector<Action>> ranks;
  // Where stages have replicas of their own, each of those is a stage: by stage, the first replica of it, whose other
  // replicas follow it. Number j of n takes the micro-batches m with m % n == j. Empty: no stage has any. Not part of
  // the CSV form.
  std::vector<int> first_replica;

  // How many replicas a stage has, and which of them it is.
  int ReplicasOf(int stage) const;
  int ReplicaOf(int stage) const { return first_replica.empty() ? 0 : stage - first_replica[stage]; }
  // Is the micro-batch one of the stage's?
  bool Takes(int stage, int micro_batch) const { return micro_batch % ReplicasOf(stage) == ReplicaOf(stage); }

  // One line per rank, actions separated by commas: the CSV form. Empty cells are allowed when reading.
  std::string ToCsv() const;
  static absl::StatusOr<Schedule> ParseCsv(absl::string_view text);
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// "F", "B", "W", "BW", "R"
absl::string_view PhaseName(proto::Phase phase);

}  // namespace millrace

#endif  // RUNTIME_PLAN_ACTION_H_
