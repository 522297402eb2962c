// A plan in words and numbers, for people and as JSON.
#ifndef TOOLS_CLI_EXPLAIN_H_
#define TOOLS_CLI_EXPLAIN_H_

#include <string>

#include "proto/plan.pb.h"
#include "runtime/plan/draw.h"
#include "tools/report/explanation.h"

namespace millrace {

// What `partition` prints: a line for the plan, a line per stage.
std::string ExplainSummary(const proto::ExecutionPlan& plan);
// Everything: what limits the step, stages with their nodes, what crosses each boundary and what moving it would cost,
// bytes by kind, the predicted grid. `explanation` is Explain's, of this plan.
std::string ExplainFully(const proto::ExecutionPlan& plan, const Explanation& explanation, const DrawOptions& draw);
// The same figures as one JSON object.
std::string ExplainJson(const proto::ExecutionPlan& plan, const Explanation& explanation);

}  // namespace millrace

#endif  // TOOLS_CLI_EXPLAIN_H_
