// Loading plans and asking them simple questions. Pure: no threads, no devices.
#ifndef RUNTIME_PLAN_PLAN_H_
#define RUNTIME_PLAN_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"

namespace millrace {

// SHA-256 of the deterministic binary form with the hash field empty.
std::string PlanHash(const proto::ExecutionPlan& plan);
// Sets plan.hash.
void SealPlan(proto::ExecutionPlan* plan);

// Reads (text or binary), checks the hash (FAILED_PRECONDITION when it does not match), then VerifyPlan.
absl::StatusOr<proto::ExecutionPlan> LoadPlan(absl::string_view path);

// The program of that name, or nullptr.
const proto::Program* FindProgram(const proto::ExecutionPlan& plan, absl::string_view name);

// The stage's calls of that phase, or nullptr.
const proto::PhaseProgram* FindPhase(const proto::StageProgram& stage, proto::Phase phase);

// Ranks of one pipeline, which is also how many lists each program has. Replicas follow each other: rank r of the first
// pipeline is rank r + k * PipelineRanks of replica k.
int PipelineRanks(const proto::ExecutionPlan& plan);

// Ranks that train the same weights are replicas of each other and have arenas that are laid out alike. A place is the
// rank of the first of them; parameters, buckets and their offsets name places.
int PlaceOf(const proto::ExecutionPlan& plan, int rank);
// The replicas at a place, in the order in which their gradients are summed. At least one.
std::vector<int> RanksAt(const proto::ExecutionPlan& plan, int place);
// Are there any?
bool HasReplicas(const proto::ExecutionPlan& plan);

// The rank of the pipeline that runs each stage; -1: none does.
std::vector<int> RankOfStages(const proto::Program& program);

// Arena offset of a value in a slot of its pool (slot is ignored for values with a fixed address).
uint64_t AddressOf(const proto::RankProgram& rank, const proto::Value& value, uint32_t slot);

// The slot that an instruction names for a pool, or -1.
int SlotOf(const proto::Instruction& instruction, int pool);

// "RUN 1F3", "SEND h2 of micro-batch 3 to stage 2", ... for messages and drawings.
std::string Describe(const proto::Program& program, const proto::Instruction& instruction);

}  // namespace millrace

#endif  // RUNTIME_PLAN_PLAN_H_
