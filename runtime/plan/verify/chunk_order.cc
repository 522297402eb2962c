#include "runtime/plan/verify/chunk_order.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify/ordering.h"

namespace millrace {
namespace {

using proto::Instruction;

// Bytes that are written and taken away again as one: the gradients of a RUN of some (stage, phase), or the weights of
// a stage. Its state while the list is followed.
struct Unit {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;  // [begin, end)
  std::vector<Unit*> rivals;                          // that share bytes with it, this one included
  int filled = -1;                                    // by the RUN or GATHER whose bytes are still wanted
  int emptied = -1;                                   // by the last REDUCE or RELEASE
  int64_t micro_batch = -1;                           // of `filled`, or of the last one
  int prepared = -1;                                  // PREPARE since `filled`
  int used = -1;                                      // last RUN since `filled`
};

bool Share(const Unit& a, const Unit& b) {
  for (const auto& [begin, end] : a.ranges) {
    for (const auto& [other_begin, other_end] : b.ranges) {
      if (begin < other_end && other_begin < end) return true;
    }
  }
  return false;
}

class RankChunkOrder {
 public:
  RankChunkOrder(const proto::ExecutionPlan& plan, const Chunks& chunks, const proto::Program& program, int rank,
                 Ordering order)
      : program_(program), list_(program.ranks(rank)), rank_(rank), order_(std::move(order)) {
    const int place = PlaceOf(plan, rank);
    for (uint32_t s : list_.stages()) {
      const proto::StageProgram& stage = program.stages(static_cast<int>(s));
      for (const proto::PhaseProgram& phase : stage.phases()) {
        for (const RunGradient& gradient : chunks.GradientsOf(stage, phase, place)) {
          Unit& unit = gradients_[{static_cast<int>(s), phase.phase()}];
          unit.ranges.push_back({gradient.offset, gradient.offset + chunks.GradientBytes(gradient.of)});
        }
      }
      for (const ChunkWeight& weight : chunks.WeightsOf(stage, place)) {
        Unit& unit = weights_[static_cast<int>(s)];
        unit.ranges.push_back({weight.offset, weight.offset + chunks.WeightBytes(weight.of)});
      }
      if (weights_.count(static_cast<int>(s)) > 0) AddPackings(stage);
    }
    FindRivals(&gradients_);
    FindRivals(&weights_);
  }

  absl::Status Check() {
    for (i_ = 0; i_ < list_.instructions_size(); ++i_) MR_RETURN_IF_ERROR(Step(list_.instructions(i_)));
    for (const auto& [key, unit] : gradients_) {
      if (unit.filled >= 0) return Fault(unit.filled, "completeness", "nothing reduces the gradients that it writes");
    }
    for (const auto& [stage, unit] : weights_) {
      if (unit.filled >= 0) return Fault(unit.filled, "completeness", "no RELEASE follows it");
    }
    return absl::OkStatus();
  }

 private:
  void AddPackings(const proto::StageProgram& stage) {
    Unit& unit = weights_[static_cast<int>(stage.stage())];
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        if (call.packed_offset() < 0 || call.packed_bytes() == 0) continue;
        const uint64_t begin = static_cast<uint64_t>(call.packed_offset());
        unit.ranges.push_back({begin, begin + call.packed_bytes()});
      }
    }
  }

  template <typename Units>
  static void FindRivals(Units* units) {
    for (auto& [key, unit] : *units) {
      for (auto& [other_key, other] : *units) {
        if (&unit == &other || Share(unit, other)) unit.rivals.push_back(&other);
      }
    }
  }

  absl::Status Step(const Instruction& instruction) {
    switch (instruction.kind()) {
      case Instruction::RUN:
        MR_RETURN_IF_ERROR(UseWeights(instruction));
        return WriteGradients(instruction);
      case Instruction::REDUCE:
        return instruction.phase() == proto::PHASE_UNSPECIFIED ? absl::OkStatus() : Reduce(instruction);
      case Instruction::NORM:
        return CheckReduced();
      case Instruction::GATHER:
        return instruction.chunk() ? Gather(instruction) : absl::OkStatus();
      case Instruction::PREPARE:
        return Prepare(instruction);
      case Instruction::RELEASE:
        return Release(instruction);
      default:
        return absl::OkStatus();
    }
  }

  // Every byte that it writes must have been taken away by a REDUCE, which has ended.
  absl::Status WriteGradients(const Instruction& run) {
    const auto found = gradients_.find({static_cast<int>(run.stage()), run.phase()});
    if (found == gradients_.end()) return absl::OkStatus();
    for (const Unit* rival : found->second.rivals) MR_RETURN_IF_ERROR(MustBeEmpty(*rival, "a REDUCE"));
    found->second.filled = i_;
    if (found->second.micro_batch > int64_t{run.micro_batch()}) {
      return Fault(
          i_, "accumulation-order",
          absl::StrCat("adds micro-batch ", run.micro_batch(), " after micro-batch ", found->second.micro_batch));
    }
    found->second.micro_batch = run.micro_batch();
    return absl::OkStatus();
  }

  absl::Status MustBeEmpty(const Unit& unit, absl::string_view by) {
    if (unit.filled >= 0) {
      return Fault(
          i_, "unordered-bytes",
          absl::StrCat("writes over what instruction ", unit.filled, " (", At(unit.filled), ") left for ", by));
    }
    if (unit.emptied >= 0 && !order_.Before(unit.emptied, i_)) return NotOrdered(unit.emptied);
    return absl::OkStatus();
  }

  absl::Status Reduce(const Instruction& reduce) {
    const auto found = gradients_.find({static_cast<int>(reduce.stage()), reduce.phase()});
    if (found == gradients_.end()) return Fault(i_, "matching", "that RUN writes no gradients");
    Unit& unit = found->second;
    if (unit.filled < 0 || unit.micro_batch != int64_t{reduce.micro_batch()}) {
      return Fault(i_, "order", "that RUN does not come right before it among those that write there");
    }
    if (!order_.Before(unit.filled, i_)) return NotOrdered(unit.filled);
    unit.filled = -1;
    unit.emptied = i_;
    return absl::OkStatus();
  }

  absl::Status CheckReduced() {
    for (const auto& [key, unit] : gradients_) {
      if (unit.filled >= 0)
        return Fault(i_, "order", absl::StrCat("comes before the REDUCE of instruction ", unit.filled));
      if (unit.emptied >= 0 && !order_.Before(unit.emptied, i_)) return NotOrdered(unit.emptied);
    }
    return absl::OkStatus();
  }

  absl::Status Gather(const Instruction& gather) {
    const auto found = weights_.find(static_cast<int>(gather.stage()));
    if (found == weights_.end()) return Fault(i_, "matching", "the stage has no divided weights");
    for (const Unit* rival : found->second.rivals) MR_RETURN_IF_ERROR(MustBeEmpty(*rival, "RUNs until its RELEASE"));
    Unit& unit = found->second;
    unit.filled = i_;
    unit.prepared = unit.used = -1;
    return absl::OkStatus();
  }

  absl::Status Prepare(const Instruction& prepare) {
    const auto found = weights_.find(static_cast<int>(prepare.stage()));
    if (found == weights_.end()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(MustBeWhole(found->second));
    found->second.prepared = i_;
    return absl::OkStatus();
  }

  absl::Status MustBeWhole(const Unit& unit) {
    if (unit.filled < 0) return Fault(i_, "read-before-write", "no GATHER before it makes its weights whole");
    return order_.Before(unit.filled, i_) ? absl::OkStatus() : NotOrdered(unit.filled);
  }

  absl::Status UseWeights(const Instruction& run) {
    const auto found = weights_.find(static_cast<int>(run.stage()));
    if (found == weights_.end()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(MustBeWhole(found->second));
    if (!program_.stages(static_cast<int>(run.stage())).prepare().empty() && found->second.prepared < 0) {
      return Fault(i_, "read-before-write", "no PREPARE packs its weights after their GATHER");
    }
    found->second.used = i_;
    return absl::OkStatus();
  }

  absl::Status Release(const Instruction& release) {
    const auto found = weights_.find(static_cast<int>(release.stage()));
    if (found == weights_.end() || found->second.filled < 0) {
      return Fault(i_, "order", "the weights of that stage are not whole");
    }
    Unit& unit = found->second;
    if (!order_.Before(unit.filled, i_)) return NotOrdered(unit.filled);
    if (unit.used >= 0 && !order_.Before(unit.used, i_)) return NotOrdered(unit.used);
    unit.filled = -1;
    unit.emptied = i_;
    return absl::OkStatus();
  }

  absl::Status NotOrdered(int earlier) {
    return Fault(i_, "unordered-bytes",
                 absl::StrCat("and instruction ", earlier, " (", At(earlier),
                              ") touch the same bytes, and nothing orders them"));
  }
  absl::Status Fault(int i, absl::string_view rule, absl::string_view what) {
    return Broken(rule, {&program_, rank_, i}, what);
  }
  std::string At(int i) const { return Describe(program_, list_.instructions(i)); }

  const proto::Program& program_;
  const proto::RankProgram& list_;
  const int rank_;
  const Ordering order_;
  int i_ = 0;
  std::map<std::pair<int, int>, Unit> gradients_;  // by (stage, phase)
  std::map<int, Unit> weights_;                    // by stage
};

// Replicas of a stage have lists of their own, and sum and gather tensors by their number in them.
absl::Status CheckReplica(const proto::ExecutionPlan& plan, const Chunks& chunks, const proto::Program& program,
                          int rank, const proto::StageProgram& stage) {
  if (stage.replica() == 0 || stage.replica() > stage.stage()) return absl::OkStatus();
  const proto::StageProgram& first = program.stages(static_cast<int>(stage.stage() - stage.replica()));
  const int place = PlaceOf(plan, rank);
  const auto differs = [&](absl::string_view what) {
    return Broken("matching", {&program, rank},
                  absl::StrCat("stage ", stage.stage(), " is a replica of stage ", first.stage(), ", but ", what,
                               " in another order, so that they would not meet"));
  };
  for (const proto::PhaseProgram& phase : stage.phases()) {
    const proto::PhaseProgram* const its = FindPhase(first, phase.phase());
    const std::vector<RunGradient> mine = chunks.GradientsOf(stage, phase, place);
    const std::vector<RunGradient> others =
        its == nullptr ? std::vector<RunGradient>() : chunks.GradientsOf(first, *its, place);
    const bool same = std::equal(mine.begin(), mine.end(), others.begin(), others.end(),
                                 [](const RunGradient& a, const RunGradient& b) {
                                   return a.of.parameter == b.of.parameter && a.shard_offset == b.shard_offset;
                                 });
    if (!same) return differs(absl::StrCat("its phase ", proto::Phase_Name(phase.phase()), " ends its gradients"));
  }
  const std::vector<ChunkWeight> mine = chunks.WeightsOf(stage, place), others = chunks.WeightsOf(first, place);
  const bool same =
      std::equal(mine.begin(), mine.end(), others.begin(), others.end(),
                 [](const ChunkWeight& a, const ChunkWeight& b) { return a.of.parameter == b.of.parameter; });
  return same ? absl::OkStatus() : differs("its values name the weights");
}

}  // namespace

absl::Status CheckChunkOrder(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring) {
  if (!ReplicasFirst(plan)) return absl::OkStatus();
  const Chunks chunks(plan);
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    for (uint32_t s : program.ranks(rank).stages()) {
      MR_RETURN_IF_ERROR(CheckReplica(plan, chunks, program, rank, program.stages(static_cast<int>(s))));
    }
    MR_ASSIGN_OR_RETURN(Ordering order, Ordering::Of(program, wiring, rank));
    MR_RETURN_IF_ERROR(RankChunkOrder(plan, chunks, program, rank, std::move(order)).Check());
  }
  return absl::OkStatus();
}

}  // namespace millrace
