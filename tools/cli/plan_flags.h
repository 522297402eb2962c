// Flags that `partition` and `train` share: how a model becomes a plan.
#ifndef TOOLS_CLI_PLAN_FLAGS_H_
#define TOOLS_CLI_PLAN_FLAGS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "partitioner/partition.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "tools/cli/flags.h"

namespace millrace {

struct PlanFlags {
  std::string devices;  // "cpu:4"; empty: cpu:<pp>
  std::string cluster;  // file
  int64_t pp = 0;       // 0: one stage per device
  int64_t dp = 1;
  int64_t shard_optimizer = 0;
  std::string sum_order;
  std::string stage_replicas;  // "3,1"
  double bucket_mb = -1;
  std::string placement = "links";
  int64_t micro_batch = 1;
  int64_t micro_batches = 4;
  std::string schedule = "1f1b";
  int64_t chunks = 0;
  double memory_limit = 0;
  std::string recompute = "none";
  std::string recompute_as = "inside";
  int64_t recompute_segments = 0;
  std::string cut = "balanced";
  std::vector<std::string> cut_after;
  std::string cut_file;
  std::string optimizer = "adamw";
  bool tf32 = false, cudnn = false;
  int64_t logits_batch = 1;
  std::string costs;  // file
  std::string dump;   // "after:cut"

  void Declare(FlagSet* flags);
  // The names that Declare gives them.
  static const std::vector<std::string>& Names();
};

// The devices that the flags name, groups of a file spelt out, checked.
absl::StatusOr<proto::Cluster> ClusterOf(const PlanFlags& flags);

// What the flags ask of Partition, checked as far as it can be without the model; messages of --schedule=auto are
// logged.
absl::StatusOr<PartitionOptions> PlanOptionsOf(const PlanFlags& flags);

// Reads a Model file and refuses one that is something else.
absl::StatusOr<proto::Model> ReadModel(absl::string_view path);

// LoadPlan, for a plan that the caller names: whatever is wrong with its content is bad input (exit 65).
absl::StatusOr<proto::ExecutionPlan> ReadPlan(absl::string_view path);

// Partitions for the devices the flags name and verifies the plan. `--dump` output goes to stdout.
absl::StatusOr<proto::ExecutionPlan> MakePlan(const proto::Model& model, const PlanFlags& flags);

}  // namespace millrace

#endif  // TOOLS_CLI_PLAN_FLAGS_H_
