#include "runtime/profile/call_table.h"

#include <algorithm>
#include <utility>

#include "runtime/plan/op_descs.h"

namespace millrace {

CallTable::CallTable(const proto::ExecutionPlan& plan) : of_rank_(plan.ranks_size()) {
  for (const proto::Program& program : plan.programs()) AddProgram(program);
  AddOptimizer(plan);
  for (std::vector<int>& calls : of_rank_) {
    std::sort(calls.begin(), calls.end());
    calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
  }
}

int CallTable::Find(absl::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? -1 : found->second;
}

int CallTable::Add(std::string key, const OpDesc& desc, bool pack) {
  const auto [found, is_new] = index_.emplace(key, static_cast<int>(calls_.size()));
  if (is_new) calls_.push_back({std::move(key), desc, pack});
  return found->second;
}

void CallTable::AddProgram(const proto::Program& program) {
  for (const proto::RankProgram& rank : program.ranks()) {
    std::vector<int>& mine = of_rank_[rank.rank()];
    for (uint32_t s : rank.stages()) {
      const proto::StageProgram& stage = program.stages(static_cast<int>(s));
      for (const proto::PhaseProgram& phase : stage.phases()) {
        for (const proto::KernelCall& call : phase.calls()) {
          const OpDesc desc = CallDesc(stage, call);
          const std::string key = desc.Key();
          const int packing = call.packed_bytes() > 0 ? Add(PackCostKey(key), desc, true) : -1;
          const int index = Add(key, desc, false);
          of_call_.emplace(&call, std::pair(index, packing));
          mine.push_back(index);
        }
      }
      for (const proto::CallRef& ref : stage.prepare()) {
        for (const proto::PhaseProgram& phase : stage.phases()) {
          if (phase.phase() != ref.phase()) continue;
          const int packing = PackingOf(&phase.calls(static_cast<int>(ref.call())));
          if (packing >= 0) mine.push_back(packing);
        }
      }
    }
  }
}

void CallTable::AddOptimizer(const proto::ExecutionPlan& plan) {
  if (plan.norm_block_elements() == 0) return;
  for (const proto::Bucket& bucket : plan.buckets()) {
    std::vector<int>& mine = of_rank_[bucket.owner()];
    for (uint32_t p : bucket.parameters()) {
      const proto::PlannedParameter& parameter = plan.parameters(static_cast<int>(p));
      int uses = 0;
      for (const proto::ParameterPlace& place : parameter.places()) uses += place.gradients_size();
      if (uses > 1) mine.push_back(Add(AccumulateOp(parameter).Key(), AccumulateOp(parameter), false));
      for (const OpDesc& desc :
           {SquaredSumsOp(parameter, plan.norm_block_elements()), OptimizerOp(parameter, plan.optimizer())}) {
        if (!desc.op.empty()) mine.push_back(Add(desc.Key(), desc, false));
      }
    }
  }
}

}  // namespace millrace
