#include "tests/mutants/mutate_plan.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

constexpr uint64_t kAlignment = 256;

// A list whose `after` are names that stay true while it is edited.
struct Named {
  int name = 0;
  Instruction instruction;
};

std::vector<Named> Unpack(const proto::RankProgram& rank) {
  std::vector<Named> list;
  for (const Instruction& instruction : rank.instructions()) {
    list.push_back({static_cast<int>(list.size()), instruction});
  }
  return list;
}

void Pack(const std::vector<Named>& list, proto::RankProgram* rank) {
  std::vector<int> index(2 * list.size() + 2, -1);
  rank->clear_instructions();
  for (const Named& named : list) {
    Instruction& instruction = *rank->add_instructions();
    instruction = named.instruction;
    instruction.clear_after();
    for (uint32_t after : named.instruction.after()) {
      if (index[after] >= 0) instruction.add_after(index[after]);
    }
    index[named.name] = rank->instructions_size() - 1;
  }
}

class Mutator {
 public:
  Mutator(const proto::ExecutionPlan& plan, uint64_t seed) : original_(plan), random_(seed) {}

  PlanMutant Make() {
    do {
      mutant_.plan = original_;
      mutant_.changes = Below(4) == 0 ? 2 : 1;
      mutant_.change = change_ = static_cast<PlanChange>(Below(kPlanChanges));
      mutant_.what = NameOf(change_);
      Change();
      if (mutant_.changes == 2) {
        change_ = static_cast<PlanChange>(Below(kPlanChanges));
        absl::StrAppend(&mutant_.what, ", then ", NameOf(change_));
        Change();
      }
      SealPlan(&mutant_.plan);
    } while (mutant_.plan.hash() == original_.hash());
    return std::move(mutant_);
  }

 private:
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : random_() % n; }
  proto::Program& program() { return *mutant_.plan.mutable_programs(0); }

  // Does an instruction of the kind read the field that is to be changed?
  bool Concerns(Instruction::Kind kind) const {
    const bool moves = kind == Instruction::SEND || kind == Instruction::RECV;
    switch (change_) {
      case PlanChange::kMicroBatch:
        return moves || kind == Instruction::RUN || kind == Instruction::LOAD;
      case PlanChange::kStage:
        return kind == Instruction::RUN || kind == Instruction::LOAD || kind == Instruction::PREPARE;
      case PlanChange::kPhase:
        return kind == Instruction::RUN;
      case PlanChange::kEdge:
        return moves;
      case PlanChange::kBucket:
        return kind == Instruction::REDUCE || kind == Instruction::STEP || kind == Instruction::GATHER;
      default:
        return true;
    }
  }

  // The first instruction from `at` on, around the end, that the change concerns; -1: none.
  int Target(const proto::RankProgram& rank, int at) const {
    for (int i = 0; i < rank.instructions_size(); ++i) {
      const int candidate = (at + i) % rank.instructions_size();
      if (Concerns(rank.instructions(candidate).kind())) return candidate;
    }
    return -1;
  }

  void Change() {
    proto::RankProgram& rank = *program().mutable_ranks(Below(program().ranks_size()));
    const int at = Target(rank, Below(rank.instructions_size()));
    if (at < 0) return;
    Instruction& instruction = *rank.mutable_instructions(at);
    absl::StrAppend(&mutant_.what, ": rank ", rank.rank(), ", instruction ", at, " ", Describe(program(), instruction));
    switch (change_) {
      case PlanChange::kDrop:
      case PlanChange::kSwapNeighbours:
      case PlanChange::kSwapAlike:
      case PlanChange::kMove:
      case PlanChange::kDuplicate:
        return ChangeList(at, &rank);
      case PlanChange::kMicroBatch:
        return instruction.set_micro_batch(Below(program().micro_batches()));
      case PlanChange::kStage:
        return instruction.set_stage(Below(program().stages_size()));
      case PlanChange::kPhase:
        return instruction.set_phase(static_cast<proto::Phase>(proto::F + Below(5)));
      case PlanChange::kEdge:
        return instruction.set_edge(Below(program().edges_size()));
      case PlanChange::kBucket:
        return instruction.set_bucket(Below(mutant_.plan.buckets_size()));
      case PlanChange::kChannel:
        return instruction.set_channel(Below(4));
      case PlanChange::kSlot:
      case PlanChange::kSlotEverywhere:
        return ChangeSlot(at, &rank);
      case PlanChange::kDropAfter:
      case PlanChange::kAddAfter:
      case PlanChange::kRetargetAfter:
        return ChangeAfter(at, &rank);
      default:
        return ChangeMemory(&rank);
    }
  }

  void ChangeList(int at, proto::RankProgram* rank) {
    std::vector<Named> list = Unpack(*rank);
    const Named moved = list[at];
    if (change_ == PlanChange::kSwapNeighbours) {
      if (at + 1 < static_cast<int>(list.size())) std::swap(list[at], list[at + 1]);
    } else if (change_ == PlanChange::kSwapAlike) {
      const int other = Alike(*rank, at);
      absl::StrAppend(&mutant_.what, " with ", other);
      std::swap(list[at], list[other]);
    } else if (change_ == PlanChange::kDuplicate) {
      list.insert(list.begin() + Below(list.size() + 1), {static_cast<int>(list.size()), moved.instruction});
    } else {
      list.erase(list.begin() + at);
      if (change_ == PlanChange::kMove) {
        const int to = Below(list.size() + 1);
        absl::StrAppend(&mutant_.what, " to ", to);
        list.insert(list.begin() + to, moved);
      }
    }
    Pack(list, rank);
  }

  // Another instruction of the kind; of a RUN, of its stage and phase too. The same where there is none.
  int Alike(const proto::RankProgram& rank, int at) {
    const Instruction& wanted = rank.instructions(at);
    std::vector<int> alike;
    for (int i = 0; i < rank.instructions_size(); ++i) {
      const Instruction& other = rank.instructions(i);
      if (i == at || other.kind() != wanted.kind()) continue;
      if (other.stage() == wanted.stage() && other.phase() == wanted.phase()) alike.push_back(i);
    }
    return alike.empty() ? at : alike[Below(alike.size())];
  }

  void ChangeSlot(int at, proto::RankProgram* rank) {
    const Instruction chosen = rank->instructions(at);
    if (chosen.slots_size() == 0) return;
    const proto::SlotUse old = chosen.slots(Below(chosen.slots_size()));
    const uint32_t slot = Below(rank->pools(old.pool()).slots());
    absl::StrAppend(&mutant_.what, ", pool ", rank->pools(old.pool()).name(), " slot ", old.slot(), " to ", slot);
    for (int i = 0; i < rank->instructions_size(); ++i) {
      if (i != at && change_ == PlanChange::kSlot) continue;
      Instruction& instruction = *rank->mutable_instructions(i);
      if (instruction.micro_batch() != chosen.micro_batch()) continue;
      for (proto::SlotUse& use : *instruction.mutable_slots()) {
        if (use.pool() == old.pool() && use.slot() == old.slot()) use.set_slot(slot);
      }
    }
  }

  // Of the next instruction that has an `after`, when one is needed.
  void ChangeAfter(int at, proto::RankProgram* rank) {
    const int size = rank->instructions_size();
    if (change_ == PlanChange::kAddAfter) return rank->mutable_instructions(at)->add_after(Below(at));
    for (int i = 0; i < size; ++i) {
      auto* after = rank->mutable_instructions((at + i) % size)->mutable_after();
      if (after->empty()) continue;
      const int k = Below(after->size());
      absl::StrAppend(&mutant_.what, ", of instruction ", (at + i) % size, " after ", after->Get(k));
      if (change_ == PlanChange::kDropAfter) {
        after->erase(after->begin() + k);
      } else {
        after->Set(k, Below((at + i) % size));
      }
      return;
    }
  }

  void ChangeMemory(proto::RankProgram* rank) {
    switch (change_) {
      case PlanChange::kSwapCalls: {
        proto::PhaseProgram& phase = AnyPhase();
        if (phase.calls_size() < 2) return;
        const int call = Below(phase.calls_size() - 1);
        absl::StrAppend(&mutant_.what, "; calls ", phase.calls(call).node(), " and ", phase.calls(call + 1).node());
        return phase.mutable_calls()->SwapElements(call, call + 1);
      }
      case PlanChange::kValueOffset: {
        proto::StageProgram& stage = *program().mutable_stages(Below(program().stages_size()));
        proto::Value& value = *stage.mutable_values(Below(stage.values_size()));
        absl::StrAppend(&mutant_.what, "; value ", value.name(), " of stage ", stage.stage());
        return value.set_offset(Offset(value.offset(), stage.values(Below(stage.values_size())).offset()));
      }
      case PlanChange::kPoolOffset: {
        if (rank->pools_size() == 0) return;
        proto::Pool& pool = *rank->mutable_pools(Below(rank->pools_size()));
        return pool.set_offset(Offset(pool.offset(), rank->pools(Below(rank->pools_size())).offset()));
      }
      case PlanChange::kScratchOffset: {
        proto::PhaseProgram& phase = AnyPhase();
        if (Below(4) == 0) return rank->set_scratch_offset(Offset(rank->scratch_offset(), rank->scratch_offset()));
        std::vector<int> with_scratch;
        for (int c = 0; c < phase.calls_size(); ++c) {
          if (phase.calls(c).scratch_bytes() > 0) with_scratch.push_back(c);
        }
        if (with_scratch.empty()) return;
        proto::KernelCall& call = *phase.mutable_calls(with_scratch[Below(with_scratch.size())]);
        absl::StrAppend(&mutant_.what, "; call ", call.node());
        return call.set_scratch_offset(
            Offset(call.scratch_offset(), phase.calls(Below(phase.calls_size())).scratch_offset()));
      }
      default:
        return ChangeParameter();
    }
  }

  void ChangeParameter() {
    auto& parameters = *mutant_.plan.mutable_parameters();
    proto::ParameterPlace& place = *parameters[Below(parameters.size())].mutable_places(0);
    const proto::ParameterPlace& other = parameters[Below(parameters.size())].places(0);
    const int what = Below(3);
    if (what == 0) return place.set_weight_offset(Offset(place.weight_offset(), other.weight_offset()));
    if (what == 1 && place.gradients_size() > 0 && other.gradients_size() > 0) {
      proto::GradientPlace& gradient = *place.mutable_gradients(0);
      return gradient.set_offset(Offset(gradient.offset(), other.gradients(0).offset()));
    }
    proto::Bucket& bucket = *mutant_.plan.mutable_buckets(Below(mutant_.plan.buckets_size()));
    if (bucket.states().empty()) {  // replicas divide it
      auto& offsets = *bucket.mutable_shard_state_offsets();
      const int k = Below(offsets.size());
      if (!offsets.empty()) offsets.Set(k, Offset(offsets[k], offsets[Below(offsets.size())]));
      return;
    }
    proto::OptimizerState& state = *bucket.mutable_states(Below(bucket.states_size()));
    const int k = Below(state.offsets_size());
    state.set_offsets(k, Offset(state.offsets(k), state.offsets(Below(state.offsets_size()))));
  }

  proto::PhaseProgram& AnyPhase() {
    proto::StageProgram& stage = *program().mutable_stages(Below(program().stages_size()));
    return *stage.mutable_phases(Below(stage.phases_size()));
  }

  // Another's, or a few alignments up or down.
  uint64_t Offset(uint64_t own, uint64_t other) {
    const uint64_t shift = kAlignment * (1 + Below(4));
    const int way = Below(3);
    return way == 0 ? other : way == 1 ? own + shift : own < shift ? 0 : own - shift;
  }

  const proto::ExecutionPlan& original_;
  PlanMutant mutant_;
  PlanChange change_ = PlanChange::kDrop;  // that is being made
  std::mt19937_64 random_;
};

}  // namespace

std::string NameOf(PlanChange change) {
  static const char* const kNames[kPlanChanges] = {"drop",
                                                   "swap neighbours",
                                                   "swap alike",
                                                   "move",
                                                   "duplicate",
                                                   "micro-batch",
                                                   "stage",
                                                   "phase",
                                                   "edge",
                                                   "bucket",
                                                   "channel",
                                                   "slot",
                                                   "slot everywhere",
                                                   "drop after",
                                                   "add after",
                                                   "retarget after",
                                                   "swap calls",
                                                   "value offset",
                                                   "pool offset",
                                                   "scratch offset",
                                                   "parameter offset"};
  return kNames[static_cast<int>(change)];
}

PlanMutant MutatePlan(const proto::ExecutionPlan& plan, uint64_t seed) { return Mutator(plan, seed).Make(); }

}  // namespace millrace
