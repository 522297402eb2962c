// A plan explained: what fills each stage, what crosses each boundary and what moving it would cost, what limits the
// whole.
#ifndef TOOLS_REPORT_EXPLANATION_H_
#define TOOLS_REPORT_EXPLANATION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "runtime/job/schedule_cap.h"
#include "runtime/plan/attribute.h"

namespace millrace {

// A node of the graph with everything that was made of it: its kernel calls of all phases, recomputation included.
struct NodeShare {
  std::string name;
  double seconds = 0;            // of a micro-batch
  uint64_t parameter_bytes = 0;  // that its calls read
  uint64_t kept_bytes = 0;       // results of a micro-batch that are kept for a later phase

  uint64_t bytes() const { return parameter_bytes + kept_bytes; }
};

struct StageFigures {
  int stage = 0;
  int rank = 0;
  int nodes = 0;                           // gradients included
  std::vector<std::string> forward_nodes;  // those that make a kernel call, in order
  int64_t parameters = 0;                  // elements of the weights that stand there, constants left out
  double forward = 0, backward = 0, weight = 0, recompute = 0;  // predicted seconds of a micro-batch
  std::map<std::string, uint64_t> bytes;                        // by kind, of the stage's rank
  uint64_t arena = 0;
  int peak_in_flight = 0;
  std::vector<NodeShare> largest;   // at most eight, by time
  std::vector<NodeShare> heaviest;  // at most five, by bytes: parameters and what is kept

  double seconds() const { return forward + backward + weight + recompute; }
};

// The boundary a unit earlier or later: everything planned again with the costs of this plan.
struct BoundaryMove {
  std::string ends_after;  // the stage before it would end after this node; empty: it cannot move, see `why_not`
  std::string why_not;
  double step_change = 0;      // seconds
  double crossing_change = 0;  // bytes of a micro-batch across this boundary, both ways
  double arena_change = 0;     // bytes of the largest arena
};

// Between stage `stage` and the next.
struct Boundary {
  int stage = 0;
  std::string ends_after;                          // last node before it
  std::vector<int> edges;                          // that cross it, indices into Program.edges
  uint64_t forward_bytes = 0, backward_bytes = 0;  // of a micro-batch
  double link_seconds = 0;                         // of all transfers of a micro-batch; 0: both stages are on one rank
  BoundaryMove earlier, later;
};

struct Explanation {
  std::vector<StageFigures> stages;
  std::vector<Boundary> boundaries;
  absl::Status moves;  // not OK: why no boundary was moved
  // Predicted; not OK where the plan's lists cannot be followed.
  absl::StatusOr<ScheduleCap> step = absl::UnknownError("not simulated");
  absl::StatusOr<Attribution> times = absl::UnknownError("not simulated");
  proto::StepTrace trace;
  std::vector<std::string> limits;  // the largest part of the step first, then whatever else stands in the way
};

// `model` may be nullptr: then the boundaries are not moved. FAILED_PRECONDITION for a plan without a program `train`;
// a model that is not the plan's is told in `moves`.
absl::StatusOr<Explanation> Explain(const proto::ExecutionPlan& plan, const proto::Model* model);

// The figures of stages alone: no simulation.
std::vector<StageFigures> FiguresOfStages(const proto::ExecutionPlan& plan, const proto::Program& program);

// A page of its own, as ReportHtml.
std::string ExplainHtml(const proto::ExecutionPlan& plan, const Explanation& explanation);

// "step +1.2 ms, crossing -24 kB, ...", or why not.
std::string MoveText(const BoundaryMove& move);

}  // namespace millrace

#endif  // TOOLS_REPORT_EXPLANATION_H_
