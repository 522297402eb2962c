#include "runtime/plan/verify/completeness.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/action.h"
#include "runtime/plan/broken.h"

namespace millrace {
namespace {

using proto::Instruction;

class StageRuns {
 public:
  StageRuns(const proto::Program& program, const Wiring& wiring, int stage)
      : program_(program), phases_(wiring.phases[stage]), rank_(wiring.rank_of_stage[stage]), stage_(stage) {
    if (program.stages(stage).phases().empty()) return;
    for (std::vector<int>& list : at_) list.assign(program.micro_batches(), -1);
  }

  absl::Status Add(int instruction, const Instruction& run) {
    int& at = at_[run.phase()][run.micro_batch()];
    if (at != -1) {
      return Broken("completeness", {&program_, rank_, instruction},
                    absl::StrCat("instruction ", at, " has run it already"));
    }
    at = instruction;
    return absl::OkStatus();
  }

  absl::Status Check() const {
    if (program_.stages(stage_).phases().empty()) return absl::OkStatus();
    for (uint32_t m = 0; m < program_.micro_batches(); ++m) {
      if (!TakesMicroBatch(program_.stages(stage_), m)) continue;
      const bool split = at_[proto::B][m] != -1 || at_[proto::W][m] != -1;
      const bool joint = at_[proto::BW][m] != -1;
      if (split && joint) {
        return Broken("completeness", {&program_, rank_, at_[proto::BW][m]},
                      absl::StrCat("micro-batch ", m, " also goes through B or W"));
      }
      MR_RETURN_IF_ERROR(Want(proto::F, m, true));
      MR_RETURN_IF_ERROR(Want(proto::R, m, true));
      MR_RETURN_IF_ERROR(Want(proto::BW, m, !split));
      MR_RETURN_IF_ERROR(Want(proto::B, m, !joint));
      MR_RETURN_IF_ERROR(Want(proto::W, m, !joint));
      MR_RETURN_IF_ERROR(CheckOrder(m));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Want(proto::Phase phase, uint32_t m, bool wanted) const {
    // A stage with B, W and BW leaves the choice to the schedule: what is absent on one way is there on the other.
    if (phase == proto::BW && phases_[proto::B] != -1 && at_[proto::B][m] != -1) return absl::OkStatus();
    if (phases_[phase] == -1 || !wanted || at_[phase][m] != -1) return absl::OkStatus();
    return Broken("completeness", {&program_, rank_},
                  absl::StrCat("stage ", stage_, " never runs ", stage_, PhaseName(phase), m));
  }

  absl::Status CheckOrder(uint32_t m) const {
    constexpr std::array<std::pair<proto::Phase, proto::Phase>, 8> kFirstThen = {{{proto::F, proto::R},
                                                                                  {proto::F, proto::B},
                                                                                  {proto::F, proto::BW},
                                                                                  {proto::F, proto::W},
                                                                                  {proto::R, proto::B},
                                                                                  {proto::R, proto::BW},
                                                                                  {proto::R, proto::W},
                                                                                  {proto::B, proto::W}}};
    for (const auto& [first, then] : kFirstThen) {
      if (at_[first][m] == -1 || at_[then][m] == -1 || at_[first][m] < at_[then][m]) continue;
      return Broken("order", {&program_, rank_, at_[then][m]},
                    absl::StrCat("runs before ", stage_, PhaseName(first), m, ", instruction ", at_[first][m]));
    }
    return absl::OkStatus();
  }

  const proto::Program& program_;
  const std::array<int, 6>& phases_;
  const int rank_;
  const int stage_;
  std::array<std::vector<int>, 6> at_;  // by phase, then micro-batch: the RUN
};

}  // namespace

absl::Status CheckMicroBatches(const proto::Program& program, const Wiring& wiring) {
  if (program.micro_batches() == 0) return Broken("completeness", {&program}, "has no micro-batches");
  // Before a table of (stage, micro-batch) is made: there must be enough instructions to fill it.
  uint64_t runs = 0, wanted = 0;
  for (const proto::StageProgram& stage : program.stages()) {
    wanted += stage.phases().empty() ? 0 : program.micro_batches() / std::max<uint32_t>(1, stage.replicas());
  }
  for (const proto::RankProgram& rank : program.ranks()) runs += rank.instructions_size();
  if (runs < wanted) {
    return Broken(
        "completeness", {&program},
        absl::StrCat(runs, " instructions cannot run every stage on ", program.micro_batches(), " micro-batches"));
  }
  std::vector<StageRuns> stages;
  for (int s = 0; s < program.stages_size(); ++s) stages.emplace_back(program, wiring, s);
  absl::flat_hash_set<std::pair<uint32_t, uint32_t>> loaded;  // (stage, micro-batch)
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    for (int i = 0; i < program.ranks(rank).instructions_size(); ++i) {
      const Instruction& instruction = program.ranks(rank).instructions(i);
      if (instruction.kind() == Instruction::RUN) MR_RETURN_IF_ERROR(stages[instruction.stage()].Add(i, instruction));
      if (instruction.kind() == Instruction::LOAD &&
          !loaded.emplace(instruction.stage(), instruction.micro_batch()).second) {
        return Broken("completeness", {&program, rank, i}, "the micro-batch has been loaded already");
      }
    }
  }
  for (const StageRuns& stage : stages) MR_RETURN_IF_ERROR(stage.Check());
  return absl::OkStatus();
}

}  // namespace millrace
