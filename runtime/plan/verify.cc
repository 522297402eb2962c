#include "runtime/plan/verify.h"

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/verify/calls.h"
#include "runtime/plan/verify/chunk_order.h"
#include "runtime/plan/verify/completeness.h"
#include "runtime/plan/verify/dataflow.h"
#include "runtime/plan/verify/facts.h"
#include "runtime/plan/verify/layout.h"
#include "runtime/plan/verify/persistent.h"
#include "runtime/plan/verify/rendezvous.h"
#include "runtime/plan/wiring.h"

namespace millrace {
namespace {

absl::StatusOr<Footprints> MakeFootprints(const proto::Program& program, const Wiring& wiring,
                                          const ProgramLayout& layout, WorkBudget* budget) {
  Footprints footprints(program.stages_size());
  for (int s = 0; s < program.stages_size(); ++s) {
    for (const proto::PhaseProgram& phase : program.stages(s).phases()) {
      MR_ASSIGN_OR_RETURN(Footprint footprint, FootprintOf(program, layout, wiring.rank_of_stage[s], s, phase, budget));
      footprints[s].push_back(std::move(footprint));
    }
  }
  return footprints;
}

absl::Status VerifyProgram(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring,
                           const PersistentMemory& memory, WorkBudget* budget) {
  MR_ASSIGN_OR_RETURN(const ProgramLayout layout, LayOut(plan, program, wiring, memory));
  MR_RETURN_IF_ERROR(CheckCalls(program, wiring));
  MR_RETURN_IF_ERROR(CheckMicroBatches(program, wiring));
  MR_ASSIGN_OR_RETURN(const Footprints footprints, MakeFootprints(program, wiring, layout, budget));
  MR_RETURN_IF_ERROR(CheckRendezvous(program, wiring));
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    MR_RETURN_IF_ERROR(CheckDataflow(plan, program, wiring, layout, memory, footprints, rank, budget));
  }
  MR_RETURN_IF_ERROR(CheckChunkOrder(plan, program, wiring));
  return CheckSteps(plan, program, wiring, footprints, budget);
}

}  // namespace

absl::Status VerifyPlan(const proto::ExecutionPlan& plan) {
  if (plan.schema_version() != kSchemaVersion) {
    return Broken(
        "version", {},
        absl::StrCat("schema version ", plan.schema_version(), "; this build reads version ", kSchemaVersion));
  }
  MR_RETURN_IF_ERROR(CheckFacts(plan));
  MR_ASSIGN_OR_RETURN(PersistentMemory memory, CheckPersistentMemory(plan));
  std::vector<Wiring> wirings;
  absl::flat_hash_set<std::string> names;
  for (const proto::Program& program : plan.programs()) {
    if (!names.insert(program.name()).second) {
      return Broken("index", {}, absl::StrCat("two programs are named ", Quoted(program.name())));
    }
    MR_ASSIGN_OR_RETURN(Wiring wiring, Wire(plan, program));
    wirings.push_back(std::move(wiring));
  }
  // Values are looked at before what is made from them: packings follow the calls' operands.
  WorkBudget budget;
  MR_RETURN_IF_ERROR(CheckPersistentOverlap(plan, wirings, &memory));
  for (int p = 0; p < plan.programs_size(); ++p) {
    MR_RETURN_IF_ERROR(VerifyProgram(plan, plan.programs(p), wirings[p], memory, &budget));
  }
  return CheckPacking(plan, wirings);
}

absl::Status VerifyPlanIsFor(const proto::ExecutionPlan& plan, const proto::Model& model) {
  const std::string hash = Sha256Hex(CanonicalBytes(model));
  if (plan.model_hash() == hash) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the plan was made for model ", Quoted(plan.model_name()), " with hash ", plan.model_hash().substr(0, 64),
      "; this is model ", Quoted(model.name()), " with hash ", hash, "; partition this model again"));
}

}  // namespace millrace
