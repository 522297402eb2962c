#include "runtime/plan/plan.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/text_proto.h"
#include "runtime/plan/action.h"

namespace millrace {
namespace {

constexpr size_t kLongestName = 64;
constexpr int kMembersShown = 4;

// Names come from files: what is printed of them is short and has no control characters.
std::string Printable(absl::string_view name) { return absl::CHexEscape(name.substr(0, kLongestName)); }

std::string DescribeTransfer(const proto::Program& program, const proto::Instruction& instruction) {
  const bool send = instruction.kind() == proto::Instruction::SEND;
  const std::string head = send ? "SEND " : "RECV ";
  if (instruction.edge() >= static_cast<uint32_t>(program.edges_size())) {
    return absl::StrCat(head, "edge ", instruction.edge(), " of micro-batch ", instruction.micro_batch());
  }
  const proto::Edge& edge = program.edges(instruction.edge());
  return absl::StrCat(head, Printable(edge.name()), " of micro-batch ", instruction.micro_batch(),
                      send ? " to stage " : " from stage ", send ? edge.to_stage() : edge.from_stage());
}

std::string DescribeGroup(const proto::Program& program, const proto::Instruction& instruction) {
  std::string text = "GROUP {";
  for (int i = 0; i < std::min(instruction.group_size(), kMembersShown); ++i) {
    const proto::Instruction& member = instruction.group(i);
    absl::StrAppend(&text, i == 0 ? " " : "; ",
                    member.kind() == proto::Instruction::GROUP ? "GROUP" : Describe(program, member));
  }
  absl::StrAppend(&text, instruction.group_size() > kMembersShown ? "; ... }" : " }");
  return text;
}

}  // namespace

std::string PlanHash(const proto::ExecutionPlan& plan) {
  proto::ExecutionPlan unsealed = plan;
  unsealed.clear_hash();
  return Sha256Hex(CanonicalBytes(unsealed));
}

void SealPlan(proto::ExecutionPlan* plan) { plan->set_hash(PlanHash(*plan)); }

const proto::Program* FindProgram(const proto::ExecutionPlan& plan, absl::string_view name) {
  for (const proto::Program& program : plan.programs()) {
    if (absl::string_view(program.name()) == name) return &program;
  }
  return nullptr;
}

const proto::PhaseProgram* FindPhase(const proto::StageProgram& stage, proto::Phase phase) {
  for (const proto::PhaseProgram& candidate : stage.phases()) {
    if (candidate.phase() == phase) return &candidate;
  }
  return nullptr;
}

int PipelineRanks(const proto::ExecutionPlan& plan) {
  return plan.dp() < 2 ? plan.ranks_size()
                       : plan.ranks_size() / static_cast<int>(std::min<uint32_t>(plan.dp(), INT_MAX));
}

int PlaceOf(const proto::ExecutionPlan& plan, int rank) { return static_cast<int>(plan.ranks(rank).pipeline()); }

std::vector<int> RanksAt(const proto::ExecutionPlan& plan, int place) {
  std::vector<int> ranks;
  for (int rank = 0; rank < plan.ranks_size(); ++rank) {
    if (PlaceOf(plan, rank) == place) ranks.push_back(rank);
  }
  return ranks;
}

bool HasReplicas(const proto::ExecutionPlan& plan) {
  for (const proto::Rank& rank : plan.ranks()) {
    if (rank.replica() > 0) return true;
  }
  return false;
}

std::vector<int> RankOfStages(const proto::Program& program) {
  std::vector<int> rank_of_stage(program.stages_size(), -1);
  for (const proto::RankProgram& rank : program.ranks()) {
    for (uint32_t stage : rank.stages()) rank_of_stage[stage] = static_cast<int>(rank.rank());
  }
  return rank_of_stage;
}

uint64_t AddressOf(const proto::RankProgram& rank, const proto::Value& value, uint32_t slot) {
  if (value.pool() < 0) return value.offset();
  const proto::Pool& pool = rank.pools(value.pool());
  return pool.offset() + slot * pool.stride() + value.offset();
}

int SlotOf(const proto::Instruction& instruction, int pool) {
  for (const proto::SlotUse& use : instruction.slots()) {
    if (static_cast<int64_t>(use.pool()) == pool) return static_cast<int>(use.slot());
  }
  return -1;
}

std::string Describe(const proto::Program& program, const proto::Instruction& instruction) {
  switch (instruction.kind()) {
    case proto::Instruction::LOAD:
      return absl::StrCat("LOAD of micro-batch ", instruction.micro_batch(), " for stage ", instruction.stage());
    case proto::Instruction::RUN:
      return absl::StrCat("RUN ", instruction.stage(), PhaseName(instruction.phase()), instruction.micro_batch());
    case proto::Instruction::SEND:
    case proto::Instruction::RECV:
      return DescribeTransfer(program, instruction);
    case proto::Instruction::GROUP:
      return DescribeGroup(program, instruction);
    case proto::Instruction::NORM:
      return "NORM";
    case proto::Instruction::PREPARE:
      return absl::StrCat("PREPARE of stage ", instruction.stage());
    case proto::Instruction::REDUCE:
    case proto::Instruction::STEP:
    case proto::Instruction::GATHER:
    case proto::Instruction::RELEASE:
      return absl::StrCat(proto::Instruction::Kind_Name(instruction.kind()), " of bucket ", instruction.bucket());
    default:
      return absl::StrCat("instruction of unknown kind ", static_cast<int>(instruction.kind()));
  }
}

}  // namespace millrace
