#include "runtime/worker/standpoint.h"

#include <map>
#include <tuple>

namespace millrace {
namespace {

using proto::Instruction;

// (sends, edge, micro-batch) of a rank's list to the index of the instruction.
using Halves = std::map<std::tuple<bool, uint32_t, uint32_t>, int64_t>;

bool Moves(const Instruction& instruction) {
  return instruction.kind() == Instruction::SEND || instruction.kind() == Instruction::RECV;
}

Halves HalvesOf(const proto::RankProgram& list) {
  Halves halves;
  for (int i = 0; i < list.instructions_size(); ++i) {
    const Instruction& instruction = list.instructions(i);
    const auto add = [&](const Instruction& half) {
      if (Moves(half)) halves[{half.kind() == Instruction::SEND, half.edge(), half.micro_batch()}] = i;
    };
    add(instruction);
    for (const Instruction& half : instruction.group()) add(half);
  }
  return halves;
}

}  // namespace

std::vector<Standpoint> StandpointsOf(const BoundProgram& program) {
  const proto::Program& plan = *program.program;
  std::map<int, Halves> of_peers;
  std::vector<Standpoint> all;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const BoundInstruction& bound = program.instructions[i];
    Standpoint& stand = all.emplace_back();
    stand.instruction = static_cast<int64_t>(i);
    const Instruction& moved = bound.source->group_size() > 0 ? bound.source->group(0) : *bound.source;
    stand.action = Instruction::Kind_Name(moved.kind());
    if (Moves(moved) || moved.kind() == Instruction::RUN || moved.kind() == Instruction::LOAD) {
      stand.micro_batch = moved.micro_batch();
    }
    if (!Moves(moved) || bound.transfers.empty()) continue;
    stand.edge = plan.edges(static_cast<int>(moved.edge())).name();
    stand.peer = bound.transfers[0].peer;
    // Equal replicas run equal lists.
    const int list = stand.peer % plan.ranks_size();
    if (of_peers.count(list) == 0) of_peers[list] = HalvesOf(plan.ranks(list));
    const auto half = of_peers[list].find({moved.kind() != Instruction::SEND, moved.edge(), moved.micro_batch()});
    if (half != of_peers[list].end()) stand.peer_instruction = half->second;
  }
  return all;
}

}  // namespace millrace
