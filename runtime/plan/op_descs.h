// What a plan asks of the kernels: the calls of its stage programs, and those behind NORM, STEP and REDUCE, which are not
// listed there. What the worker binds, the partitioner prices and the profiler measures.
#ifndef RUNTIME_PLAN_STEP_OPS_H_
#define RUNTIME_PLAN_STEP_OPS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"
#include "proto/plan.pb.h"

namespace millrace {

// Of a call of the stage. REQUIRES: its values are indices into the stage's, or -1.
OpDesc CallDesc(const proto::StageProgram& stage, const proto::KernelCall& call);

// Elements of the F64 operand `hyper` that every optimizer kernel reads (docs/operators.md).
inline constexpr int64_t kHyperElements = 10;

// A parameter's gradient accumulator, flat: F32, unless the weight is F64.
TensorSpec GradientSpec(const proto::PlannedParameter& parameter);

// Of a parameter, or of a flat piece of so many of its elements.
inline constexpr int64_t kWhole = -1;
// NORM: sums of squares over blocks of so many elements (> 0).
OpDesc SquaredSumsOp(const proto::PlannedParameter& parameter, uint64_t block, int64_t piece = kWhole);
// STEP: hyper in; parameter, gradient and states out, the last one the master of a parameter in 16 bits (Micikevicius
// et al. 2018). `op` is empty for an optimizer that is not known.
OpDesc OptimizerOp(const proto::PlannedParameter& parameter, absl::string_view optimizer, int64_t piece = kWhole);
// Tensors that the optimizer keeps for a parameter; 0 for an optimizer that is not known.
int OptimizerStates(const proto::PlannedParameter& parameter, absl::string_view optimizer);
// REDUCE: one more accumulator is added.
OpDesc AccumulateOp(const proto::PlannedParameter& parameter, int64_t piece = kWhole);

// Of a CostTable's entry for what PREPARE spends on the packed weights of calls with that OpDesc::Key().
std::string PackCostKey(absl::string_view call_key);

}  // namespace millrace

#endif  // RUNTIME_PLAN_STEP_OPS_H_
