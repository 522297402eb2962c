// Mutants of whole plans: small changes to the instruction lists and the memory of the training program.
#ifndef TESTS_MUTANTS_MUTATE_PLAN_H_
#define TESTS_MUTANTS_MUTATE_PLAN_H_

#include <cstdint>
#include <string>

#include "proto/plan.pb.h"

namespace millrace {

enum class PlanChange {
  // Of a rank's list. What others come `after` moves along; what would no longer be earlier is left out.
  kDrop,
  kSwapNeighbours,
  kSwapAlike,  // two of a kind; RUNs of one stage and phase
  kMove,
  kDuplicate,
  // Of one instruction.
  kMicroBatch,
  kStage,
  kPhase,
  kEdge,
  kBucket,
  kChannel,
  kSlot,            // of one instruction
  kSlotEverywhere,  // of one micro-batch in one pool, wherever the rank's list names it
  kDropAfter,
  kAddAfter,
  kRetargetAfter,
  // Of the memory.
  kSwapCalls,    // two neighbouring calls of a RUN
  kValueOffset,  // of a value: another value's, or a few alignments away
  kPoolOffset,
  kScratchOffset,    // of a call, or of the rank
  kParameterOffset,  // a weight's, an accumulator's or an optimizer state's
};

constexpr int kPlanChanges = static_cast<int>(PlanChange::kParameterOffset) + 1;

std::string NameOf(PlanChange change);

struct PlanMutant {
  proto::ExecutionPlan plan;              // sealed
  PlanChange change = PlanChange::kDrop;  // the first
  int changes = 1;
  std::string what;  // "drop: rank 1, instruction 17 RUN 1F3"
};

// The same mutant for the same seed, never equal to the plan. The first program is changed, in one place or, for
// one seed in four, in two. What is left out on purpose: which values a call reads and whether it stands there at all.
// A plan says what is computed, not what should have been; `millrace verify --parity` compares that.
PlanMutant MutatePlan(const proto::ExecutionPlan& plan, uint64_t seed);

}  // namespace millrace

#endif  // TESTS_MUTANTS_MUTATE_PLAN_H_
