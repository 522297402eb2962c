// The search with replicas of each stage's own number: which cut of a chain, replicas, micro-batch and recomputation.
//
// The space: cuts of the chain between any two pieces; up to `most_stages` stages with any numbers of replicas, and any
// number of stages with equal ones; micro-batches that divide the batch; 1F1B, dealt round-robin (replicated.h);
// devices may stay idle, placed stage by stage.
//
// The walk: first equal replicas, each number of stages with its most even cut. Then best first, from the last stage to
// the first, by a lower bound of the step: of each stage that stands
//   W_before + ceil(m / d) W + max(0, W_after + 2 sends - (warm-up - 1) F)
// (the first micro-batch's way to it and the last gradient's way back, its own work, and its wait for the first
// gradient), of those to come m W_before / (devices left), and the least that follows the pipeline. It ends when the
// least bound is no better than the best pipeline that was played, which then is the best of the space, or when the
// budgets below are spent, which the answer says.
#ifndef PARTITIONER_SEARCH_REPLICA_SEARCH_H_
#define PARTITIONER_SEARCH_REPLICA_SEARCH_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/paper/chain.h"
#include "partitioner/paper/machine.h"
#include "partitioner/search/replicated.h"

namespace millrace {

struct ReplicaQuestion {
  // The model for a micro-batch, on one of `tensor_parallel` ranks.
  std::function<absl::StatusOr<PaperChain>(int64_t micro_batch, ActivationRecompute recompute)> chain;
  std::vector<ActivationRecompute> recompute = {ActivationRecompute::kNone};  // to choose from
  PaperMachine machine;
  int64_t global_batch = 0;
  int64_t tensor_parallel = 1;
  // What is fixed; 0 or nothing: free. One number of replicas is for all stages, several are for one stage each.
  int64_t micro_batch = 0, pipeline = 0;
  std::vector<int64_t> replicas;
  std::optional<int> sharding;                             // 0 or 1; free: 1, which is never slower and never larger
  double worth = std::numeric_limits<double>::infinity();  // only what takes less than so many seconds is of interest
  int64_t most_stages = 4;
  // Budgets: partial pipelines, and actions played.
  int64_t most_partial = 1'000'000, most_actions = 40'000'000;
};

struct ReplicaCandidate {
  ReplicatedPipeline pipeline;
  ReplicatedStep step;
  std::string lost;  // why it is not the answer
};

struct ReplicaAnswer {
  // Played and fitting, fastest first: the answer, then the fastest of each other number of replicas. Empty: nothing is
  // faster than `worth`.
  std::vector<ReplicaCandidate> ranked;
  int64_t played = 0, partial = 0;
  bool proven = false;  // nothing of the space is faster in this model
};

// Deterministic. INVALID_ARGUMENT for numbers out of range and for what cannot be had at all; RESOURCE_EXHAUSTED, where
// `worth` is infinite, when nothing that was looked at fits: says how much is missing; the chain's own errors.
absl::StatusOr<ReplicaAnswer> SearchReplicas(const ReplicaQuestion& question);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_REPLICA_SEARCH_H_
