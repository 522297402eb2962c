// What a training program does after its last micro-batch: REDUCE, NORM, STEP, GATHER, PREPARE.
#ifndef PARTITIONER_LOWER_OPTIMIZER_STEPS_H_
#define PARTITIONER_LOWER_OPTIMIZER_STEPS_H_

#include <cstdint>
#include <vector>

#include "partitioner/cost/cost_model.h"
#include "partitioner/lower/persistent.h"
#include "proto/plan.pb.h"

namespace millrace {

// Of replicas on those devices that exchange so many bytes: all but a rank's own share comes from the others, while as
// much goes the other way. 0 for one alone.
double ExchangeSeconds(const CostModel& costs, uint64_t bytes, const std::vector<int>& ranks);

// PREPARE of a stage on the rank-th device of `costs`.
proto::Instruction PrepareInstruction(const proto::StageProgram& stage, const CostModel& costs, int rank);

// Appends them to every rank of `program`, buckets in the same order everywhere. REDUCE where a parameter has several
// uses, GATHER where it stands on several ranks. Rank r is device r of `costs`.
void EmitOptimizerSteps(const Persistent& persistent, const CostModel& costs, proto::Program* program);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_OPTIMIZER_STEPS_H_
