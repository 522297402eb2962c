// The plan of a run, made again with other cuts: what would change if a stage ended elsewhere?
#ifndef TOOLS_REPORT_REPLAN_H_
#define TOOLS_REPORT_REPLAN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/cut/linearise.h"
#include "partitioner/partition.h"
#include "proto/costs.pb.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// What a plan of one cut comes to.
struct CutFigures {
  double seconds = 0;        // predicted step
  double bubble = 0;         // share
  double slowest_stage = 0;  // predicted seconds of a micro-batch: all phases of the stage that takes longest
  uint64_t largest_arena = 0;
  std::vector<uint64_t> crossing;  // by boundary, between stage b and b + 1: bytes of a micro-batch, both ways
};

// Keeps references to nothing. Not for several threads at once.
class Replanner {
 public:
  // With the model, devices, pp, schedule, micro-batches, recomputation and optimizer of `plan` and the costs given.
  // FAILED_PRECONDITION when the model is not the plan's, or the plan's stages are not runs of the model's units.
  static absl::StatusOr<Replanner> Make(const proto::ExecutionPlan& plan, const proto::Model& model,
                                        const proto::CostTable& costs);

  int units() const { return static_cast<int>(chain_.units.size()); }
  int stages() const { return static_cast<int>(present_.size()); }
  const Chain& chain() const { return chain_; }
  const PartitionOptions& options() const { return options_; }
  // First units of the stages, as Cut::first_unit.
  const std::vector<int>& present() const { return present_; }
  // The cut that the partitioner would choose with these costs.
  absl::StatusOr<std::vector<int>> Balanced() const;
  // Names for --cut-after.
  std::vector<std::string> CutAfter(const std::vector<int>& first_unit) const;

  // Each cut is planned once. Errors are Partition's: RESOURCE_EXHAUSTED where memory does not suffice.
  absl::StatusOr<CutFigures> At(const std::vector<int>& first_unit);

 private:
  Replanner() = default;

  proto::Model model_;
  PartitionOptions options_;
  KernelNeedsFn needs_;
  Chain chain_;
  std::vector<int> present_, rank_of_stage_;
  std::map<std::vector<int>, absl::StatusOr<CutFigures>> known_;
};

// The options that made a plan, as far as it records them; with_eval and with_logits are off. `zb-auto` loses its
// --memory-limit, which plans do not keep.
absl::StatusOr<PartitionOptions> OptionsOf(const proto::ExecutionPlan& plan);

// True where the plan's devices are those that --devices=KIND:COUNT stands for.
bool HasLocalDevices(const proto::ExecutionPlan& plan);

// Bytes of a micro-batch that cross between stages b and b + 1 of a program, both ways, by b.
std::vector<uint64_t> CrossingBytes(const proto::Program& program);

}  // namespace millrace

#endif  // TOOLS_REPORT_REPLAN_H_
