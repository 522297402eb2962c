#include "runtime/plan/wiring_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"

namespace millrace {

using proto::Instruction;

bool TakesMicroBatch(const proto::StageProgram& stage, uint32_t micro_batch) {
  return stage.replicas() < 2 || micro_batch % stage.replicas() == stage.replica();
}

bool IsOfRun(const Instruction& instruction) {
  return instruction.kind() == Instruction::REDUCE && instruction.phase() != proto::PHASE_UNSPECIFIED;
}

std::vector<int> ListsAt(const proto::ExecutionPlan& plan, uint32_t place) {
  return plan.dp() > 1 ? std::vector<int>{static_cast<int>(place)} : RanksAt(plan, static_cast<int>(place));
}

absl::Status CheckStageReplica(const proto::ExecutionPlan& plan, const proto::Program& program, int rank, int s) {
  const proto::StageProgram& stage = program.stages(s);
  const uint32_t replicas = static_cast<uint32_t>(ListsAt(plan, static_cast<uint32_t>(PlaceOf(plan, rank))).size());
  const uint32_t replica = plan.dp() > 1 ? 0 : plan.ranks(rank).replica();
  if (std::max<uint32_t>(1, stage.replicas()) == replicas && stage.replica() == replica) return absl::OkStatus();
  return Broken("one-rank", {&program, rank},
                absl::StrCat("stage ", s, " is replica ", stage.replica(), " of ", stage.replicas(),
                             "; on this rank it must be ", replica, " of ", replicas));
}

absl::Status CheckBegins(const proto::Program& program, const Wiring& wiring, int rank, int i) {
  const auto& list = program.ranks(rank).instructions();
  if (!list[i].has_begins()) return absl::OkStatus();
  const proto::CallPoint& point = list[i].begins();
  const Where here = {&program, rank, i};
  if (list[i].kind() != Instruction::REDUCE || IsOfRun(list[i]) || list[i].channel() == 0) {
    return Broken("index", here, "only the REDUCE of a bucket, on a channel of its own, may begin inside a RUN");
  }
  if (point.instruction() >= static_cast<uint32_t>(i) ||
      list[static_cast<int>(point.instruction())].kind() != Instruction::RUN) {
    return Broken("index", here, absl::StrCat("begins in instruction ", point.instruction(), ", no earlier RUN"));
  }
  const Instruction& run = list[static_cast<int>(point.instruction())];
  const int phase = wiring.phases[run.stage()][run.phase()];
  const int calls = program.stages(static_cast<int>(run.stage())).phases(phase).calls_size();
  if (point.calls() > 0 && point.calls() < static_cast<uint32_t>(calls)) return absl::OkStatus();
  return Broken("index", here, absl::StrCat("begins behind ", point.calls(), " calls of a RUN of ", calls));
}

absl::Status CheckChunkMeeting(const proto::Program& program, const Where& here, const Meeting& meeting,
                               const Instruction& first) {
  const auto round = [&program](const Instruction& instruction) {
    const uint32_t replicas = program.stages(static_cast<int>(instruction.stage())).replicas();
    return instruction.micro_batch() / std::max<uint32_t>(1, replicas);
  };
  for (const Party& party : meeting.parties) {
    const Instruction& other = InstructionOf(program, party);
    if (other.phase() == first.phase() && round(other) == round(first)) continue;
    return Broken("matching", here,
                  absl::StrCat("meets instruction ", party.instruction, " of rank ", party.rank,
                               ", which is of another phase or micro-batch"));
  }
  return absl::OkStatus();
}

}  // namespace millrace
