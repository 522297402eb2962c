// The distinct kernel calls of a plan: what the profiler measures, each once.
#ifndef RUNTIME_PROFILE_CALL_TABLE_H_
#define RUNTIME_PROFILE_CALL_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"
#include "proto/plan.pb.h"

namespace millrace {

struct ProfiledCall {
  std::string key;  // of its KernelCost (proto/costs.proto)
  OpDesc desc;
  bool pack = false;  // PREPARE of such calls, not the call
};

// Calls of all phases of all programs, the packings that their PREPAREs make, and the optimizer's kernels. Immutable
// once made, so any thread may read it.
class CallTable {
 public:
  // The plan must have passed VerifyPlan and must outlive the table.
  explicit CallTable(const proto::ExecutionPlan& plan);

  const std::vector<ProfiledCall>& calls() const { return calls_; }
  // Index into calls(), -1: not there.
  int Find(absl::string_view key) const;
  // The same for a KernelCall message of the plan, and for its packing.
  int IndexOf(const proto::KernelCall* call) const { return of_call_.at(call).first; }
  int PackingOf(const proto::KernelCall* call) const { return of_call_.at(call).second; }
  // Calls that replaying a rank measures, sorted.
  const std::vector<int>& OfRank(int rank) const { return of_rank_[rank]; }

 private:
  int Add(std::string key, const OpDesc& desc, bool pack);
  void AddProgram(const proto::Program& program);
  void AddOptimizer(const proto::ExecutionPlan& plan);

  std::vector<ProfiledCall> calls_;
  absl::flat_hash_map<std::string, int> index_;
  absl::flat_hash_map<const proto::KernelCall*, std::pair<int, int>> of_call_;
  std::vector<std::vector<int>> of_rank_;
};

}  // namespace millrace

#endif  // RUNTIME_PROFILE_CALL_TABLE_H_
