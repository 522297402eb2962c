// The compiler's front door: a model graph and the devices in, an ExecutionPlan out.
#ifndef PARTITIONER_PARTITION_H_
#define PARTITIONER_PARTITION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "partitioner/cut/pin.h"
#include "proto/cluster.pb.h"
#include "proto/costs.pb.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "runtime/plan/action.h"

namespace millrace {

// Asks the backend that will run the plan how much scratch and packed memory a call needs.
using KernelNeedsFn = std::function<absl::StatusOr<KernelNeeds>(const OpDesc&)>;

// What a kind of schedule would have cost.
struct ScheduleChoice {
  std::string kind;
  absl::Status status;         // not OK: why it is not to be had here
  double seconds = 0;          // predicted step
  uint64_t largest_arena = 0;  // bytes of the rank that needs most
};

struct PartitionOptions {
  proto::Cluster cluster;
  int pp = 1;
  int64_t micro_batch = 1;    // samples in a micro-batch: binds the model's -1
  int64_t micro_batches = 1;  // per step, of each replica
  int dp = 1;                 // replicas of the pipeline; each takes its own micro-batches of the step
  // Replicas of each stage, where they are not all the same: replica j of n takes every n-th micro-batch. Empty: one of
  // each in every pipeline. With dp 1, and schedules gpipe and 1f1b; pp is how many stages there are.
  std::vector<int> stage_replicas;
  // What they divide: 0 nothing, 1 optimizer state, 2 gradients too, 3 parameters too.
  int shard_optimizer = 0;
  // What is summed first, the micro-batches of a replica or the replicas of a micro-batch: "micro-batch-first",
  // "replica-first", or "" for what the level asks for.
  std::string sum_order;
  // With replicas: gradients are summed over them in buckets of at most so many bytes. 0: one for each stage; -1: the
  // size whose step is predicted to be the shortest.
  int64_t bucket_bytes = -1;
  // One of ScheduleKinds() (partitioner/schedule/make_schedule.h), or "auto": the one whose step is predicted to be the
  // shortest among those that fit the devices' memory.
  std::string schedule = "1f1b";
  int chunks = 0;           // stages of a rank, where the schedule leaves the choice; 0: the schedule's own number
  double memory_limit = 0;  // "zb-auto": what a rank may hold, in micro-batches of all its stages; 0: no limit
  // Stages that make their activations again: "none", "all", or their numbers with commas between them. A stage for
  // which a custom schedule has actions R is recomputed there, whatever is asked here.
  std::string recompute = "none";
  // Where: "inside" B, segment by segment; or "placed", as actions R of whole stages (schedule/place_recompute.h).
  std::string recompute_as = "inside";
  int recompute_segments = 0;  // inside B, of each stage; 0: as many as take the fewest bytes
  // "balanced", or "exact": the best over all orders of the graph; both then move borders where that shortens the
  // predicted step, and look for a cut that fits where theirs does not. Or "even", "by-hand".
  std::string cut = "balanced";
  std::vector<Pin> pinned;             // balanced and exact: nodes whose stage is given
  std::vector<std::string> cut_after;  // by hand: names of the last node of each stage but the last
  // Which device each rank gets: "links", the heaviest traffic on the fastest links where they differ and the predicted
  // step is shorter so (partitioner/place.h); or "listed", as they stand in the cluster.
  std::string placement = "links";
  std::string optimizer = "adamw";  // "adamw", "sgd"
  bool with_eval = true;
  bool with_logits = true;  // when the model names its logits
  int64_t logits_batch = 1;
  proto::CostTable costs;  // empty: analytic
  proto::DeviceSettings device_settings;  // `needs` were asked with these
  // When set, the training program follows it, and `schedule` is not looked at: any number of stages on any of the pp
  // ranks, BW or separate B and W. Its micro_batches must be those above.
  std::optional<Schedule> custom_schedule;
  // "auto": called once with what every kind came to, the chosen one first, then by predicted time; those that do not
  // fit or cannot be made come last, with the reason.
  std::function<void(const std::vector<ScheduleChoice>& choices)> considered;
  // Called after each pass with its name and its printed result, when set: for --dump=after:PASS.
  std::function<void(absl::string_view pass, const std::string& text)> dump;
};

// Names of the passes in order, for --dump: "check", "rewrite", "differentiate", "cost", "cut", "schedule", "lower".
std::vector<std::string> PassNames();

// Pure: same input, same plan, byte for byte. The plan is sealed (hash set) but not verified: callers verify it with
// runtime/plan. INVALID_ARGUMENT for a bad graph or options; RESOURCE_EXHAUSTED when a rank's arena exceeds its device:
// says how many bytes are missing, and which other options would have fitted, found by planning them.
absl::StatusOr<proto::ExecutionPlan> Partition(const proto::Model& model, const PartitionOptions& options,
                                               const KernelNeedsFn& needs);

}  // namespace millrace

#endif  // PARTITIONER_PARTITION_H_
