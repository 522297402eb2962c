// What the kernels of a plan cost, as a CostTable that the partitioner reads: as the plan predicts, or as a run
// measured.
#ifndef TOOLS_REPORT_COSTS_H_
#define TOOLS_REPORT_COSTS_H_

#include "absl/status/statusor.h"
#include "proto/costs.pb.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

// Every distinct call of the program `train`, by OpDesc::Key(), with the seconds that the plan reckons with: another
// cut of the same model is then predicted from the same costs, wherever they came from. FAILED_PRECONDITION for a plan
// whose calls name values that it has not.
absl::StatusOr<proto::CostTable> PlannedCosts(const proto::ExecutionPlan& plan);

// The same calls, with costs that explain what was measured. A trace times a whole RUN, not its calls; the median over
// the micro-batches of (stage, phase) s is T_s = sum over its calls of c_k, where calls of one key k cost the same
// wherever they stand. That is solved for c from the predicted costs on, by
//
//   c_k <- c_k * sum_s n_sk (T_s / sum_j n_sj c_j) / sum_s n_sk          n_sk: calls of key k in s
//
// which scales every call by measured/predicted of the RUNs it stands in (a key that several share: by their weighted
// mean) and, repeated, settles on costs whose sums are as near to all T_s as can be in the sense of Kullback-Leibler
// (Richardson 1972; Shepp and Vardi 1982). Costs stay positive; what only one RUN holds, such as an embedding or the
// output layer, takes up what the calls that others share do not explain.
absl::StatusOr<proto::CostTable> MeasuredCosts(const proto::ExecutionPlan& plan, const proto::StepTrace& measured);

}  // namespace millrace

#endif  // TOOLS_REPORT_COSTS_H_
