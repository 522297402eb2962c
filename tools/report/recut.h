// The better cut: where the stages of a run should have ended, judged by what was measured.
#ifndef TOOLS_REPORT_RECUT_H_
#define TOOLS_REPORT_RECUT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/costs.pb.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "tools/report/replan.h"

namespace millrace {

// Both cuts are predicted from the same costs, so that the gain is the cut's and not the prediction's.
struct Recut {
  CutFigures present, best;
  std::vector<std::string> present_after, best_after;  // last node of each stage but the last
  int tried = 0;
  bool all_tried = false;  // every cut there is; else those near the best, again and again, from the balanced cut on
  bool improves = false;   // by half a per cent or more
  std::string command;     // that makes the plan of the best cut, quoted for a shell; empty: see `remark`
  std::string remark;      // why there is no command, or what to mind about it

  double gain() const { return present.seconds > 0 ? 1 - best.seconds / present.seconds : 0; }
};

struct RecutPaths {
  std::string model;  // of the model graph, as the command should name it
  std::string out;    // of the new plan
};

// `costs` as of MeasuredCosts. The schedule, pp, micro-batches and devices stay as they are; cuts that do not fit the
// devices' memory are passed over. FAILED_PRECONDITION when the model is not the plan's.
absl::StatusOr<Recut> FindBetterCut(const proto::ExecutionPlan& plan, const proto::Model& model,
                                    const proto::CostTable& costs, const RecutPaths& paths);

// Of cuts of `units` into `stages`; stops counting above `most`.
int CountCuts(int units, int stages, int most);

}  // namespace millrace

#endif  // TOOLS_REPORT_RECUT_H_
