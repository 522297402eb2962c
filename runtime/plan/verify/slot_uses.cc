#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/verify/memory_rules.h"

namespace millrace {
namespace {

// The pools an instruction must name slots of, in order.
class WantedPools {
 public:
  explicit WantedPools(const proto::Program& program) : program_(program) {
    phases_.resize(program.stages_size());
    loaded_.resize(program.stages_size());
    for (int s = 0; s < program.stages_size(); ++s) {
      for (const proto::PhaseProgram& phase : program.stages(s).phases()) {
        phases_[s][phase.phase()] = {phase.pools().begin(), phase.pools().end()};
      }
      for (const proto::Value& value : program.stages(s).values()) {
        if (value.life() == proto::LOADED) loaded_[s].push_back(value.pool());
      }
      std::sort(loaded_[s].begin(), loaded_[s].end());
      loaded_[s].erase(std::unique(loaded_[s].begin(), loaded_[s].end()), loaded_[s].end());
    }
  }

  std::vector<int> Of(const proto::Instruction& instruction) const {
    switch (instruction.kind()) {
      case proto::Instruction::RUN:
        return phases_[instruction.stage()].at(instruction.phase());
      case proto::Instruction::LOAD:
        return loaded_[instruction.stage()];
      case proto::Instruction::SEND:
      case proto::Instruction::RECV: {
        const proto::Edge& edge = program_.edges(instruction.edge());
        const bool send = instruction.kind() == proto::Instruction::SEND;
        const proto::Value& value = send ? program_.stages(edge.from_stage()).values(edge.from_value())
                                         : program_.stages(edge.to_stage()).values(edge.to_value());
        return value.pool() < 0 ? std::vector<int>() : std::vector<int>{value.pool()};
      }
      default:
        return {};
    }
  }

 private:
  const proto::Program& program_;
  std::vector<absl::flat_hash_map<int, std::vector<int>>> phases_;
  std::vector<std::vector<int>> loaded_;
};

absl::Status CheckInstruction(const proto::Program& program, const WantedPools& wanted, const Where& here,
                              const proto::Instruction& instruction) {
  for (const proto::Instruction& member : instruction.group()) {
    if (instruction.kind() != proto::Instruction::GROUP) return Broken("index", here, "has members but is no GROUP");
    MR_RETURN_IF_ERROR(CheckInstruction(program, wanted, here, member));
  }
  std::vector<int> pools;
  for (const proto::SlotUse& use : instruction.slots()) {
    const auto& all = program.ranks(here.rank).pools();
    if (use.pool() >= all.size() || use.slot() >= all[use.pool()].slots()) {
      return Broken(
          "index", here,
          absl::StrCat("slot ", use.slot(), " of pool ", use.pool(), ": there is no such pool or slot on this rank"));
    }
    pools.push_back(use.pool());
  }
  if (instruction.kind() == proto::Instruction::LOAD) std::sort(pools.begin(), pools.end());
  if (pools != wanted.Of(instruction)) {
    return Broken("index", here, "its slots must name the pools of what it reads and writes, each once and in order");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSlots(const proto::Program& program) {
  const WantedPools wanted(program);
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    const auto& instructions = program.ranks(rank).instructions();
    for (int i = 0; i < instructions.size(); ++i) {
      MR_RETURN_IF_ERROR(CheckInstruction(program, wanted, {&program, rank, i}, instructions[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace
