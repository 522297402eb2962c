#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify/completeness.h"
#include "runtime/plan/verify/ordering.h"
#include "runtime/plan/wiring_rules.h"

namespace millrace {
namespace {

using proto::Instruction;

bool Trains(const proto::Program& program) {
  for (const proto::StageProgram& stage : program.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      if (phase.phase() == proto::B || phase.phase() == proto::W || phase.phase() == proto::BW) return true;
    }
  }
  for (const proto::RankProgram& rank : program.ranks()) {
    for (const Instruction& instruction : rank.instructions()) {
      if (instruction.chunk()) continue;  // a forward program gathers, too
      if (instruction.kind() >= Instruction::REDUCE && instruction.kind() <= Instruction::GATHER) return true;
    }
  }
  return false;
}

// The end of a step on one rank: accumulate, REDUCE, NORM, STEP, GATHER, PREPARE.
class RankSteps {
 public:
  RankSteps(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring,
            const Footprints& footprints, int rank, WorkBudget* budget)
      : plan_(plan),
        program_(program),
        list_(program.ranks(rank)),
        wiring_(wiring),
        footprints_(footprints),
        rank_(rank),
        place_(PlaceOf(plan, rank)),
        budget_(budget) {}

  // Order of this rank's instructions, and what its RUNs add to which bucket.
  absl::Status Prepare(const Chunks& chunks) {
    MR_ASSIGN_OR_RETURN(order_, Ordering::Of(program_, wiring_, rank_));
    for (uint32_t s : list_.stages()) {
      const proto::StageProgram& stage = program_.stages(static_cast<int>(s));
      for (const proto::PhaseProgram& phase : stage.phases()) {
        std::vector<RunGradient>& gradients = adds_[{static_cast<int>(s), phase.phase()}];
        gradients = chunks.GradientsOf(stage, phase, PlaceOf(plan_, rank_));
      }
    }
    return absl::OkStatus();
  }

  void AddBucket(int bucket, bool several_uses) { buckets_[bucket].several_uses = several_uses; }
  void AddPlace(int bucket, const proto::ParameterPlace& place) { weights_[bucket].push_back(place.weight_offset()); }

  absl::Status Check() {
    for (int i = 0; i < list_.instructions_size(); ++i) MR_RETURN_IF_ERROR(Step(i, list_.instructions(i)));
    if (norm_ < 0) return Broken("completeness", {&program_, rank_}, "has no NORM, but the program trains");
    for (const auto& [b, progress] : buckets_) {
      const proto::Bucket& bucket = plan_.buckets(b);
      if (static_cast<int>(bucket.owner()) == place_ && progress.step < 0) return Missing(b, "STEP");
      const bool sharded = plan_.shard_optimizer() > 0;
      const bool gathers = sharded && !DividesParameters(plan_);
      if ((bucket.group_size() > 1 || gathers) && progress.gather < 0) return Missing(b, "GATHER");
      const bool of_replicas = HasReplicas(plan_) && (!sharded || !ReplicasFirst(plan_));
      if ((progress.several_uses || of_replicas) && progress.reduce < 0) return Missing(b, "REDUCE");
    }
    return DividesParameters(plan_) ? absl::OkStatus() : CheckPacked();
  }

 private:
  struct Progress {
    bool several_uses = false;                // of one parameter
    int reduce = -1, step = -1, gather = -1;  // the last of each
    int run = -1, call = -1;                  // that added last, with sums over micro-batches first
  };

  absl::Status Step(int i, const Instruction& instruction) {
    switch (instruction.kind()) {
      case Instruction::RUN:
        return Accumulate(i, instruction);
      case Instruction::REDUCE:
        return Reduce(i, instruction);
      case Instruction::NORM:
        if (norm_ >= 0)
          return Broken("completeness", {&program_, rank_, i},
                        absl::StrCat("the second; the first is instruction ", norm_));
        norm_ = i;
        return last_reduce_ < 0 || order_->Before(last_reduce_, i) ? absl::OkStatus() : Unordered(i, last_reduce_);
      case Instruction::STEP:
        return StepOnce(i, &buckets_[instruction.bucket()]);
      case Instruction::GATHER:
        return instruction.chunk() ? absl::OkStatus() : Gather(i, instruction, &buckets_[instruction.bucket()]);
      case Instruction::PREPARE:
        return Repack(i, program_.stages(instruction.stage()));
      default:
        return absl::OkStatus();
    }
  }

  absl::Status Accumulate(int i, const Instruction& run) {
    const Footprint& footprint = footprints_[run.stage()][wiring_.phases[run.stage()][run.phase()]];
    if (!budget_->Spend(footprint.accumulators.size() + 1)) {
      return Broken("extent", {&program_, rank_, i}, "the plan has more pieces of memory than can be checked");
    }
    if (norm_ >= 0 && !footprint.accumulators.empty()) return Late(i, "NORM", norm_);
    if (ReplicasFirst(plan_)) return absl::OkStatus();  // its own REDUCE follows it
    for (const RunGradient& gradient : adds_[{static_cast<int>(run.stage()), run.phase()}]) {
      Progress& progress = buckets_[gradient.of.bucket];
      if (progress.reduce >= 0) return Late(i, "REDUCE", progress.reduce);
      progress.run = i;
      progress.call = gradient.last_call;
    }
    return absl::OkStatus();
  }

  // One at a time, because all stage what arrives in the same bytes; and behind what they sum up.
  absl::Status Reduce(int i, const Instruction& reduce) {
    if (norm_ >= 0) return Late(i, "NORM", norm_);
    if (last_reduce_ >= 0 && !order_->Before(last_reduce_, i)) return Unordered(i, last_reduce_);
    last_reduce_ = i;
    if (reduce.phase() != proto::PHASE_UNSPECIFIED) return absl::OkStatus();
    Progress& progress = buckets_[reduce.bucket()];
    if (progress.reduce >= 0) {  // the sums would be added up once more
      return Broken("completeness", {&program_, rank_, i},
                    absl::StrCat("instruction ", progress.reduce, " has reduced it already"));
    }
    progress.reduce = i;
    if (progress.run < 0 || order_->Before(progress.run, i)) return absl::OkStatus();
    const bool inside = reduce.has_begins() && static_cast<int>(reduce.begins().instruction()) == progress.run &&
                        static_cast<int>(reduce.begins().calls()) > progress.call;
    return inside ? absl::OkStatus() : Unordered(i, progress.run);
  }

  absl::Status Unordered(int i, int earlier) {
    return Broken("unordered-bytes", {&program_, rank_, i},
                  absl::StrCat("and instruction ", earlier, " (", Describe(program_, list_.instructions(earlier)),
                               ") touch the same bytes, and nothing orders them"));
  }

  absl::Status StepOnce(int i, Progress* progress) {
    if (progress->step >= 0) {
      return Broken("completeness", {&program_, rank_, i},
                    absl::StrCat("instruction ", progress->step, " has stepped it already"));
    }
    if (norm_ < 0) return Broken("order", {&program_, rank_, i}, "no NORM comes before it");
    progress->step = i;
    for (uint64_t weight : weights_[list_.instructions(i).bucket()]) changed_[weight] = i;
    return absl::OkStatus();
  }

  absl::Status Gather(int i, const Instruction& instruction, Progress* progress) {
    const bool owner = static_cast<int>(plan_.buckets(instruction.bucket()).owner()) == place_;
    if (owner ? progress->step < 0 : norm_ < 0) {
      return Broken("order", {&program_, rank_, i},
                    owner ? "no STEP of the bucket comes before it" : "no NORM comes before it");
    }
    progress->gather = i;
    // Where replicas step a share each, the owner's weights are whole only now.
    if (!owner || (plan_.shard_optimizer() > 0 && HasReplicas(plan_))) {
      for (uint64_t weight : weights_[instruction.bucket()]) changed_[weight] = i;
    }
    return absl::OkStatus();
  }

  absl::Status Repack(int i, const proto::StageProgram& stage) {
    if (!budget_->Spend(stage.prepare_size() + 1)) {
      return Broken("extent", {&program_, rank_, i}, "more packed weights than can be checked");
    }
    for (const proto::CallRef& ref : stage.prepare()) {
      packed_[stage.phases(wiring_.phases[stage.stage()][ref.phase()]).calls(ref.call()).packed_offset()] = i;
    }
    return absl::OkStatus();
  }

  // Packed weights are as new as the weights when the program ends.
  absl::Status CheckPacked() {
    for (uint32_t s : list_.stages()) {
      for (const proto::PhaseProgram& phase : program_.stages(s).phases()) {
        for (const proto::KernelCall& call : phase.calls()) {
          if (call.packed_offset() < 0 || call.packed_bytes() == 0) continue;
          const auto packed = packed_.find(call.packed_offset());
          for (int v : call.inputs()) {
            if (v < 0 || program_.stages(s).values(v).life() != proto::PARAMETER) continue;
            const auto changed = changed_.find(program_.stages(s).values(v).offset());
            if (changed == changed_.end() || (packed != packed_.end() && packed->second > changed->second)) continue;
            return Broken("completeness", {&program_, rank_, changed->second},
                          absl::StrCat("changes the weights of node ", Quoted(call.node()), " of stage ", s,
                                       ", and no PREPARE packs them again"));
          }
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status Late(int i, absl::string_view what, int at) {
    return Broken("order", {&program_, rank_, i},
                  absl::StrCat("comes after ", what, ", instruction ", at, ", which wants the finished sum"));
  }
  absl::Status Missing(int bucket, absl::string_view what) {
    return Broken("completeness", {&program_, rank_}, absl::StrCat("has no ", what, " of bucket ", bucket));
  }

  const proto::ExecutionPlan& plan_;
  const proto::Program& program_;
  const proto::RankProgram& list_;
  const Wiring& wiring_;
  const Footprints& footprints_;
  const int rank_, place_;
  WorkBudget* const budget_;
  absl::optional<Ordering> order_;
  int norm_ = -1, last_reduce_ = -1;
  absl::flat_hash_map<int, Progress> buckets_;
  absl::flat_hash_map<std::pair<int, int>, std::vector<RunGradient>> adds_;  // by (stage, phase)
  absl::flat_hash_map<int, std::vector<uint64_t>> weights_;                  // bucket -> addresses here
  absl::flat_hash_map<uint64_t, int> changed_, packed_;                      // address -> last instruction
};

}  // namespace

absl::Status CheckSteps(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring,
                        const Footprints& footprints, WorkBudget* budget) {
  if (!Trains(program)) return absl::OkStatus();
  std::vector<bool> stepped(plan.parameters_size(), false);
  std::vector<RankSteps> ranks;
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    ranks.emplace_back(plan, program, wiring, footprints, rank, budget);
  }
  for (int b = 0; b < plan.buckets_size(); ++b) {
    bool several_uses = false;
    for (uint32_t p : plan.buckets(b).parameters()) {
      int uses = 0;
      stepped[p] = true;
      for (const proto::ParameterPlace& place : plan.parameters(p).places()) {
        uses += place.gradients_size();
        for (int rank : ListsAt(plan, place.rank())) ranks[rank].AddPlace(b, place);
      }
      several_uses |= uses > 1;
    }
    for (uint32_t place : plan.buckets(b).group()) {
      for (int rank : ListsAt(plan, place)) ranks[rank].AddBucket(b, several_uses);
    }
  }
  for (int p = 0; p < plan.parameters_size(); ++p) {
    if (plan.parameters(p).trainable() && !stepped[p]) {
      return Broken("completeness", {&program},
                    absl::StrCat("parameter ", Quoted(plan.parameters(p).name()), " is in no bucket"));
    }
  }
  const Chunks chunks(plan);
  for (RankSteps& rank : ranks) {
    MR_RETURN_IF_ERROR(rank.Prepare(chunks));
    MR_RETURN_IF_ERROR(rank.Check());
  }
  return absl::OkStatus();
}

}  // namespace millrace
