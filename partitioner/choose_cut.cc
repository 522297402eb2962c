#include "partitioner/choose_cut.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/cut/by_hand.h"
#include "partitioner/cut/even.h"
#include "partitioner/cut/pins.h"
#include "partitioner/cut/step_cut.h"
#include "partitioner/lower/lower.h"
#include "partitioner/options.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int kMostRepairs = 10;
constexpr int kMostNear = 32;
constexpr double kMargin = 0.01;             // of the limit, more for each repair
constexpr int64_t kMostSimulated = 1 << 13;  // stages times micro-batches, of a plan that is made twice
constexpr double kWeightStash = 0.5;

// Micro-batches that each stage holds at most, by the order of F and of B (or W, where it has its own).
std::vector<double> InFlight(const Schedule& schedule) {
  std::vector<double> most(schedule.stages, 0), now(schedule.stages, 0);
  for (const std::vector<Action>& rank : schedule.ranks) {
    for (const Action& action : rank) {
      double& held = now[action.stage];
      if (action.phase == proto::F) most[action.stage] = std::max(most[action.stage], ++held);
      if (action.phase == proto::B || action.phase == proto::BW) --held;
    }
  }
  return most;
}

struct StageSums {
  double parameters = 0, stash = 0;  // bytes
};
std::vector<StageSums> SumsOf(const Chain& chain, const std::vector<int>& stage_of_unit, int stages) {
  std::vector<StageSums> sums(stages);
  for (size_t u = 0; u < chain.units.size(); ++u) {
    sums[stage_of_unit[u]].parameters += static_cast<double>(chain.units[u].parameter_bytes);
    sums[stage_of_unit[u]].stash += static_cast<double>(chain.units[u].stash_bytes);
  }
  return sums;
}

double BytesOf(const StageMemory& memory, const StageSums& sums) {
  return memory.fixed + memory.per_parameter_byte * sums.parameters + memory.in_flight * sums.stash;
}

}  // namespace

absl::StatusOr<CutChooser> CutChooser::Of(const Graph& graph, const std::vector<NodeCost>& node_costs,
                                          const PartitionOptions& options, const CostModel& costs,
                                          const Schedule& placed) {
  CutChooser chooser(options, costs, placed);
  chooser.graph_ = &graph;
  chooser.chain_ = Linearise(graph, node_costs);
  chooser.rules_.device_of_stage = placed.rank_of_stage;
  chooser.rules_.link_seconds = [&costs, pp = options.pp](uint64_t bytes) {
    return pp < 2 ? 0 : costs.TransferSeconds(bytes, 0, 1);
  };
  chooser.rules_.boundary_seconds = [&costs, ranks = placed.rank_of_stage](int stage, uint64_t bytes) {
    const size_t next = static_cast<size_t>(stage) + 1;
    return next < ranks.size() ? costs.TransferSeconds(bytes, ranks[stage], ranks[next]) : 0;
  };
  chooser.in_flight_ = InFlight(placed);
  if (!options.pinned.empty()) {
    MR_RETURN_IF_ERROR(CheckStageCount(chooser.chain_, placed.stages));
    MR_ASSIGN_OR_RETURN(chooser.rules_.pinned, PinnedUnits(graph, chooser.chain_, placed.stages, options.pinned));
  }
  return chooser;
}

CutCandidate CutChooser::Worded(CutCandidate cut) const {
  cut.stage_of_node = StagesOfNodes(cut.ordered.chain, cut.ordered.cut);
  cut.text = absl::StrCat(CutText(cut.ordered.chain, cut.ordered.cut, placed_.rank_of_stage), cut.method,
                          cut.method.empty() ? "" : "\n");
  return cut;
}

CutCandidate CutChooser::Candidate(const std::vector<int>& stage_of_unit, std::string method) const {
  CutCandidate cut;
  cut.ordered = InOrderOfStages(chain_, stage_of_unit);
  cut.method = std::move(method);
  return Worded(std::move(cut));
}

std::vector<int> CutChooser::StagesOfOwnUnits(const CutCandidate& cut) const {
  const std::vector<int> stages = StagesOfUnits(cut.ordered.chain, cut.ordered.cut);
  std::vector<int> own(stages.size());
  for (size_t i = 0; i < stages.size(); ++i) own[cut.ordered.order[i]] = stages[i];
  return own;
}

absl::StatusOr<CutCandidate> CutChooser::First() const {
  if (!Chooses()) {
    MR_ASSIGN_OR_RETURN(const Cut cut, options_.cut == "even"
                                           ? EvenCut(chain_, placed_.stages)
                                           : CutByHand(*graph_, chain_, placed_.stages, options_.cut_after));
    return Candidate(StagesOfUnits(chain_, cut), "");
  }
  const bool exact = options_.cut == "exact";
  absl::StatusOr<FoundCut> found = BestCut(chain_, rules_, exact ? CutSearch::kExact : CutSearch::kDefault);
  // Not a lack of memory on a device.
  if (absl::IsResourceExhausted(found.status())) return absl::FailedPreconditionError(found.status().message());
  MR_RETURN_IF_ERROR(found.status());
  return Candidate(found->stage_of_unit, absl::StrCat("cut ", found->method));
}

absl::optional<CutCandidate> CutChooser::Shorter(const CutCandidate& cut) const {
  if (!Chooses() || placed_.stages < 2 || placed_.stages * int64_t{placed_.micro_batches} > kMostSimulated) {
    return absl::nullopt;
  }
  const OrderedCut& ordered = cut.ordered;
  CutRules rules = rules_;
  for (size_t i = 0; i < rules.pinned.size(); ++i) rules.pinned[i] = rules_.pinned[ordered.order[i]];
  // The lists that the schedule will have, as far as they depend on times.
  const ScheduleCosts costs = CostsOfStages(ordered.chain, ordered.cut, rules);
  std::vector<StageSeconds> seconds(placed_.stages);
  for (int s = 0; s < placed_.stages; ++s) {
    seconds[s] = {costs.forward[s], costs.backward_input[s], costs.backward_weight[s], costs.communication[s],
                  costs.forward[s]};
  }
  const absl::StatusOr<Schedule> schedule = ScheduleOf(options_, seconds, kWeightStash);
  if (!schedule.ok()) return absl::nullopt;
  const absl::StatusOr<StepCut> step = ImproveStep(ordered.chain, ordered.cut, rules, *schedule);
  if (!step.ok() || step->cut == ordered.cut) return absl::nullopt;
  CutCandidate shorter = cut;
  shorter.ordered.cut = step->cut;
  shorter.method = absl::StrFormat("%s; borders moved for the step, which is simulated to take %.4g ms instead of %.4g",
                                   cut.method, 1e3 * step->seconds, 1e3 * step->before);
  return Worded(std::move(shorter));
}

// From what a plan came to: what a byte of parameters and of stash really takes, and, stage by stage, the rest.
void CutChooser::Learn(const CutCandidate& tried, const std::vector<proto::Rank>& ranks) {
  const int stages = placed_.stages;
  const std::vector<StageSums> sums = SumsOf(chain_, StagesOfOwnUnits(tried), stages);
  double persistent = 0, transient = 0, parameters = 0, stash = 0;
  for (const proto::Rank& rank : ranks) {
    const double last = static_cast<double>(rank.regions(rank.regions_size() - 1).bytes());
    transient += last;
    persistent += static_cast<double>(rank.arena_bytes()) - last;
  }
  for (int s = 0; s < stages; ++s) parameters += sums[s].parameters, stash += in_flight_[s] * sums[s].stash;
  rules_.memory.assign(stages, {});
  std::vector<double> estimated(ranks.size(), 0);
  std::vector<int> count(ranks.size(), 0);
  for (int s = 0; s < stages; ++s) {
    StageMemory& memory = rules_.memory[s];
    memory.per_parameter_byte = parameters > 0 ? persistent / parameters : 0;
    memory.in_flight = in_flight_[s] * (stash > 0 ? transient / stash : 0);
    estimated[placed_.rank_of_stage[s]] += BytesOf(memory, sums[s]);
    ++count[placed_.rank_of_stage[s]];
  }
  for (int s = 0; s < stages; ++s) {
    const int r = placed_.rank_of_stage[s];
    StageMemory& memory = rules_.memory[s];
    const double arena = static_cast<double>(ranks[r].arena_bytes()),
                 limit = static_cast<double>(ranks[r].memory_limit());
    memory.fixed = (arena - estimated[r]) / count[r];
    // Stages of one rank share what is left, or what is missing.
    if (limit > 0) memory.limit = BytesOf(memory, sums[s]) + (limit * (1 - kMargin * repairs_) - arena) / count[r];
  }
}

absl::optional<CutCandidate> CutChooser::Smaller(const CutCandidate& tried, const std::vector<proto::Rank>& ranks) {
  if (!Chooses() || placed_.stages < 2) return absl::nullopt;
  planned_.insert(StagesOfOwnUnits(tried));
  uint64_t lacks = 0;
  for (const proto::Rank& rank : ranks) lacks = std::max(lacks, MissingBytes(rank));
  if (!nearest_.has_value() || lacks < lacked_) {
    nearest_ = tried;
    lacked_ = lacks;
    nearby_ = NearbyCuts(tried.ordered.cut, static_cast<int>(tried.ordered.chain.units.size()));
    std::reverse(nearby_.begin(), nearby_.end());
  }
  while (repairs_ < kMostRepairs && !smallest_tried_) {
    Learn(tried, ranks);
    ++repairs_;
    absl::StatusOr<FoundCut> found = BestCut(chain_, rules_, CutSearch::kDefault);
    if (!found.ok()) break;
    if (!planned_.insert(found->stage_of_unit).second) continue;
    return Candidate(found->stage_of_unit, absl::StrCat("cut within the memory of the devices, ", found->method));
  }
  if (smallest_tried_) return NearTheBest();
  smallest_tried_ = true;
  const absl::StatusOr<FoundCut> found = BestCut(chain_, rules_, CutSearch::kSmallest);
  if (!found.ok() || !planned_.insert(found->stage_of_unit).second) return NearTheBest();
  return Candidate(found->stage_of_unit, absl::StrCat("cut for the least memory, ", found->method));
}

bool CutChooser::KeepsPins(const std::vector<int>& stage_of_unit) const {
  for (size_t u = 0; u < rules_.pinned.size(); ++u) {
    if (rules_.pinned[u] >= 0 && rules_.pinned[u] != stage_of_unit[u]) return false;
  }
  return true;
}

// Estimates are as good as their averages; where they no longer help, borders move a little and the plan decides.
absl::optional<CutCandidate> CutChooser::NearTheBest() {
  while (!nearby_.empty() && near_tried_ < kMostNear) {
    CutCandidate next = *nearest_;
    next.ordered.cut = nearby_.back();
    nearby_.pop_back();
    const std::vector<int> stages = StagesOfOwnUnits(next);
    if (!KeepsPins(stages) || !planned_.insert(stages).second) continue;
    ++near_tried_;
    next.method = "cut within the memory of the devices, borders moved";
    return Worded(std::move(next));
  }
  return absl::nullopt;
}

}  // namespace millrace
