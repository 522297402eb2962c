// Which cuts of a graph are planned: the first one, one for the sake of the step, and others where a plan does not fit.
#ifndef PARTITIONER_CHOOSE_CUT_H_
#define PARTITIONER_CHOOSE_CUT_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/cut/best_cut.h"
#include "partitioner/cut/cut.h"
#include "partitioner/graph/graph.h"
#include "partitioner/partition.h"
#include "proto/plan.pb.h"
#include "runtime/plan/action.h"

namespace millrace {

struct CutCandidate {
  OrderedCut ordered;
  std::vector<int> stage_of_node;
  std::string method;  // in words
  std::string text;    // for --dump
};

class CutChooser {
 public:
  // `placed` says how many stages there are and where they stand. `options` and `costs` must outlive the chooser.
  // INVALID_ARGUMENT for pins that contradict each other or the graph.
  static absl::StatusOr<CutChooser> Of(const Graph& graph, const std::vector<NodeCost>& node_costs,
                                       const PartitionOptions& options, const CostModel& costs, const Schedule& placed);

  // As options.cut says, without a look at memory.
  absl::StatusOr<CutCandidate> First() const;

  // A cut near this one whose step, simulated from the costs of its stages, is shorter. None where options.cut leaves
  // no choice, where there is none, or where the schedule is too long to simulate many times.
  absl::optional<CutCandidate> Shorter(const CutCandidate& cut) const;

  // What to try after a plan of `tried` that did not fit, of whose ranks `ranks` tells the bytes: the best cut by what
  // can be estimated from that, each stage held below its device's limit, by more each time; then the one that is
  // estimated to need least; at last, what is near the one that lacked least. None when nothing new comes to mind.
  // Shorter() keeps what was learnt.
  absl::optional<CutCandidate> Smaller(const CutCandidate& tried, const std::vector<proto::Rank>& ranks);

 private:
  CutChooser(const PartitionOptions& options, const CostModel& costs, const Schedule& placed)
      : options_(options), costs_(costs), placed_(placed) {}

  bool Chooses() const { return options_.cut == "balanced" || options_.cut == "exact"; }
  CutCandidate Candidate(const std::vector<int>& stage_of_unit, std::string method) const;
  CutCandidate Worded(CutCandidate cut) const;
  std::vector<int> StagesOfOwnUnits(const CutCandidate& cut) const;  // numbered as chain_
  void Learn(const CutCandidate& tried, const std::vector<proto::Rank>& ranks);
  bool KeepsPins(const std::vector<int>& stage_of_unit) const;
  absl::optional<CutCandidate> NearTheBest();

  const PartitionOptions& options_;
  const CostModel& costs_;
  const Schedule placed_;
  const Graph* graph_ = nullptr;
  Chain chain_;
  CutRules rules_;
  std::vector<double> in_flight_;  // by stage: micro-batches
  std::set<std::vector<int>> planned_;
  int repairs_ = 0;
  bool smallest_tried_ = false;
  absl::optional<CutCandidate> nearest_;  // of all that were tried, the one that lacked least
  uint64_t lacked_ = 0;                   // bytes, of the rank that lacked most
  std::vector<Cut> nearby_;               // of nearest_, not looked at yet, in reverse
  int near_tried_ = 0;
};

}  // namespace millrace

#endif  // PARTITIONER_CHOOSE_CUT_H_
