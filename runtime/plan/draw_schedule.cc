#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/action.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/play.h"
#include "runtime/plan/wiring.h"

namespace millrace {
namespace {

using proto::Instruction;

// Only what a schedule is: RUNs and transfers. The end of the step is left standing as instructions that do nothing, so
// that list positions stay what `after` says.
proto::Program Skeleton(const proto::Program& program) {
  proto::Program bare;
  bare.set_name(program.name());
  bare.set_micro_batches(program.micro_batches());
  *bare.mutable_edges() = program.edges();
  for (const proto::StageProgram& stage : program.stages()) {
    proto::StageProgram* copy = bare.add_stages();
    copy->set_stage(stage.stage());
    for (const proto::PhaseProgram& phase : stage.phases()) copy->add_phases()->set_phase(phase.phase());
  }
  for (const proto::RankProgram& rank : program.ranks()) {
    proto::RankProgram* copy = bare.add_ranks();
    copy->set_rank(rank.rank());
    *copy->mutable_stages() = rank.stages();
    for (const Instruction& instruction : rank.instructions()) {
      Instruction* mine = copy->add_instructions();
      *mine = instruction;
      if (instruction.kind() >= Instruction::REDUCE && rank.stages_size() > 0) {
        mine->set_kind(Instruction::PREPARE);
        mine->set_stage(rank.stages(0));
      }
    }
  }
  return bare;
}

int SlotsOf(const Instruction& run) { return run.phase() == proto::BW ? 2 : 1; }

Durations UnitDurations(const proto::Program& program, const Wiring& wiring) {
  Durations durations;
  for (const proto::RankProgram& rank : program.ranks()) {
    std::vector<double>& mine = durations.instructions.emplace_back();
    for (const Instruction& instruction : rank.instructions()) {
      mine.push_back(instruction.kind() == Instruction::RUN ? SlotsOf(instruction) : 0);
    }
  }
  durations.meetings.assign(wiring.meetings.size(), 0);
  return durations;
}

std::string Label(const Instruction& run, bool with_stage) {
  return absl::StrCat(with_stage ? absl::StrCat(run.stage()) : "", PhaseName(run.phase()), run.micro_batch());
}

}  // namespace

std::string DrawSchedule(const proto::Program& program) {
  const proto::Program bare = Skeleton(program);
  proto::ExecutionPlan plan;
  for (int rank = 0; rank < bare.ranks_size(); ++rank) plan.add_ranks()->set_pipeline(rank);
  const absl::StatusOr<Wiring> wiring = Wire(plan, bare);
  if (!wiring.ok()) return absl::StrCat(wiring.status().message(), "\n");
  const auto played = Play(bare, *wiring, UnitDurations(bare, *wiring));
  if (!played.ok()) return absl::StrCat(played.status().message(), "\n");

  const bool with_stage =
      std::any_of(bare.ranks().begin(), bare.ranks().end(), [](const auto& rank) { return rank.stages_size() > 1; });
  size_t width = 1;
  int slots = 0, busy = 0, longest = 0;
  for (int rank = 0; rank < bare.ranks_size(); ++rank) {
    int first = -1, last = 0;
    for (int i = 0; i < bare.ranks(rank).instructions_size(); ++i) {
      const Instruction& run = bare.ranks(rank).instructions(i);
      if (run.kind() != Instruction::RUN) continue;
      width = std::max(width, Label(run, with_stage).size());
      last = static_cast<int>((*played)[rank][i].end);
      if (first < 0) first = static_cast<int>((*played)[rank][i].begin);
      busy += SlotsOf(run);
    }
    slots = std::max(slots, last);
    longest = std::max(longest, last - std::max(first, 0));
  }
  const double bubble = longest > 0 ? 100.0 * (1 - static_cast<double>(busy) / bare.ranks_size() / longest) : 0;
  std::string text = absl::StrFormat("%s: %d ranks, %d stages, %d micro-batches; %d slots, bubble %.1f %%\n",
                                     program.schedule().empty() ? "schedule" : program.schedule(), bare.ranks_size(),
                                     bare.stages_size(), bare.micro_batches(), slots, bubble);
  const int digits = static_cast<int>(absl::StrCat(std::max(0, bare.ranks_size() - 1)).size());
  for (int rank = 0; rank < bare.ranks_size(); ++rank) {
    std::vector<std::string> cells(slots, ".");
    for (int i = 0; i < bare.ranks(rank).instructions_size(); ++i) {
      const Instruction& run = bare.ranks(rank).instructions(i);
      if (run.kind() != Instruction::RUN) continue;
      const int at = static_cast<int>((*played)[rank][i].begin);
      cells[at] = Label(run, with_stage);
      if (SlotsOf(run) == 2) cells[at + 1] = std::string(width, '=');
    }
    absl::StrAppend(&text, absl::StrFormat("rank %*d |", digits, rank));
    for (const std::string& cell : cells) absl::StrAppend(&text, " ", cell, std::string(width - cell.size(), ' '));
    text += " |\n";
  }
  return absl::StrCat(text, with_stage ? "2F0: forward of stage 2, micro-batch 0" : "F0: forward of micro-batch 0",
                      "; B input gradient, W weight gradient, BW both (two slots), R recompute, . idle\n");
}

}  // namespace millrace
