// What a training program does after its last micro-batch: REDUCE, NORM, STEP, GATHER, PREPARE.
#ifndef PARTITIONER_LOWER_OPTIMIZER_STEPS_H_
#define PARTITIONER_LOWER_OPTIMIZER_STEPS_H_

#include "partitioner/cost/cost_model.h"
#include "partitioner/lower/persistent.h"
#include "proto/plan.pb.h"

namespace millrace {

// PREPARE of a stage on the rank-th device of `costs`.
proto::Instruction PrepareInstruction(const proto::StageProgram& stage, const CostModel& costs, int rank);

// Appends them to every rank of `program`, buckets in the same order everywhere. REDUCE where a parameter has several
// uses, GATHER where it stands on several ranks. Rank r is device r of `costs`.
void EmitOptimizerSteps(const Persistent& persistent, const CostModel& costs, proto::Program* program);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_OPTIMIZER_STEPS_H_
