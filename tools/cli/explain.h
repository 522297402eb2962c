// A plan in words and numbers, for people and as JSON.
#ifndef TOOLS_CLI_EXPLAIN_H_
#define TOOLS_CLI_EXPLAIN_H_

#include <string>

#include "proto/plan.pb.h"
#include "runtime/plan/draw.h"

namespace millrace {

// What `partition` prints: a line for the plan, a line per stage.
std::string ExplainSummary(const proto::ExecutionPlan& plan);
// Everything: stages with their nodes, what crosses each boundary, bytes by kind, predictions, the grid.
std::string ExplainFully(const proto::ExecutionPlan& plan, const DrawOptions& draw);
// The same figures as one JSON object.
std::string ExplainJson(const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // TOOLS_CLI_EXPLAIN_H_
