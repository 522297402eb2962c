#include "partitioner/cut/best_cut.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cost_graph/orders.h"
#include "partitioner/cut/stage_search.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// What the default search does: the exact one, where it is about this small, else so much over orders.
constexpr int kFewDownSets = 5'000;
constexpr int64_t kFewPieces = 1'000'000;
constexpr size_t kMostUnits = 2'048;  // of which several orders are tried
constexpr int kMostOrders = 48;
constexpr double kWork = 4e7;  // runs of units, over all orders
// And the exact one.
constexpr int kMostDownSets = 200'000;
constexpr double kMostStates = 4e7;  // down-sets times stages

constexpr int64_t kAnyPieces = std::numeric_limits<int64_t>::max();

// What is minimised: first, then second.
using Weight = std::pair<double, double>;

class Finder {
 public:
  Finder(const Chain& chain, const CutRules& rules, StageLoad load) : chain_(chain), rules_(rules), load_(load) {}

  // BalancedCut's, if it keeps the rules.
  absl::Status Begin() {
    MR_ASSIGN_OR_RETURN(const Cut cut, BalancedCut(chain_, rules_.device_of_stage, rules_.link_seconds));
    const int stages = static_cast<int>(cut.first_unit.size());
    Weight weight = {0, 0};
    for (int s = 0; s < stages; ++s) {
      const int end = s + 1 < stages ? cut.first_unit[s + 1] : static_cast<int>(chain_.units.size());
      if (!MayBeStage(chain_, rules_, s, cut.first_unit[s], end)) return absl::OkStatus();
      const StageWeight stage =
          WeighStage(chain_, cut.first_unit[s], end, rules_.device_of_stage[s], rules_.link_seconds);
      weight.first = std::max(weight.first, stage.seconds);
      weight.second += static_cast<double>(stage.bytes);
    }
    if (load_ != StageLoad::kSeconds) return absl::OkStatus();
    weight_ = weight;
    stage_of_unit_ = StagesOfUnits(chain_, cut);
    return absl::OkStatus();
  }

  // Was all of it looked at?
  bool Try(const DownSets& sets, int64_t most_pieces) {
    StageSearchFound found = SearchStages(chain_, rules_, sets, load_, weight_.first, most_pieces);
    if (found.gave_up) return false;
    const Weight weight = {found.largest, found.bytes};
    const bool better = weight.first < weight_.first * (1 - 1e-9) ||
                        (weight.first <= weight_.first * (1 + 1e-12) && weight.second < weight_.second * (1 - 1e-9));
    if (!found.stage_of_unit.empty() && (stage_of_unit_.empty() || better)) {
      weight_ = weight;
      stage_of_unit_ = std::move(found.stage_of_unit);
    }
    return true;
  }

  // Returns how many orders it went through.
  int TryOrders() {
    std::vector<int> own(chain_.units.size());
    for (size_t u = 0; u < own.size(); ++u) own[u] = static_cast<int>(u);
    if (!found() || chain_.units.size() <= kMostUnits) Try(DownSets::OfOrder(own), kAnyPieces);
    if (chain_.before.empty() || chain_.units.size() > kMostUnits) return 1;
    const SplitProblem problem = Problem();
    std::vector<std::vector<int>> orders = RuleOrders(problem);
    const double work = static_cast<double>(own.size()) * static_cast<double>(own.size()) *
                        static_cast<double>(rules_.device_of_stage.size());
    const size_t most = std::clamp<size_t>(static_cast<size_t>(kWork / work), 1, kMostOrders);
    for (uint64_t seed = 0; orders.size() < most; ++seed) orders.push_back(RandomOrder(problem, seed));
    for (const std::vector<int>& order : orders) Try(DownSets::OfOrder(order), kAnyPieces);
    return 1 + static_cast<int>(orders.size());
  }

  bool found() const { return !stage_of_unit_.empty(); }
  std::vector<int> Take() { return std::move(stage_of_unit_); }

 private:
  // What orders are made from.
  SplitProblem Problem() const {
    SplitProblem problem;
    problem.before = chain_.before;
    for (size_t u = 0; u < chain_.units.size(); ++u) {
      problem.units.push_back({chain_.Seconds(static_cast<int>(u), rules_.device_of_stage[0])});
    }
    for (const ChainTensor& tensor : chain_.tensors) {
      problem.tensors.push_back({static_cast<double>(tensor.bytes), tensor.units});
    }
    return problem;
  }

  const Chain& chain_;
  const CutRules& rules_;
  const StageLoad load_;
  Weight weight_ = {kNever, kNever};
  std::vector<int> stage_of_unit_;
};

absl::StatusOr<DownSets> SetsOf(const Chain& chain, int most) {
  if (!chain.before.empty()) return DownSets::Of(chain.before, most);
  std::vector<int> order(chain.units.size());
  for (size_t u = 0; u < order.size(); ++u) order[u] = static_cast<int>(u);
  return DownSets::OfOrder(order);
}

}  // namespace

bool MayBeStage(const Chain& chain, const CutRules& rules, int stage, int begin, int end) {
  double parameters = 0, stash = 0;
  for (int u = begin; u < end; ++u) {
    if (!rules.pinned.empty() && rules.pinned[u] >= 0 && rules.pinned[u] != stage) return false;
    parameters += static_cast<double>(chain.units[u].parameter_bytes);
    stash += static_cast<double>(chain.units[u].stash_bytes);
  }
  if (rules.memory.empty()) return true;
  const StageMemory& memory = rules.memory[stage];
  return memory.fixed + memory.per_parameter_byte * parameters + memory.in_flight * stash <= memory.limit;
}

absl::StatusOr<FoundCut> BestCut(const Chain& chain, const CutRules& rules, CutSearch search) {
  const int stages = static_cast<int>(rules.device_of_stage.size());
  MR_RETURN_IF_ERROR(CheckStageCount(chain, stages));
  Finder finder(chain, rules, search == CutSearch::kSmallest ? StageLoad::kShare : StageLoad::kSeconds);
  MR_RETURN_IF_ERROR(finder.Begin());
  FoundCut cut;
  const int most = search == CutSearch::kExact ? kMostDownSets : kFewDownSets;
  const absl::StatusOr<DownSets> sets =
      SetsOf(chain, static_cast<int>(std::min<double>(most, kMostStates / (stages + 1))));
  if (search == CutSearch::kExact) {
    if (!sets.ok()) {
      return absl::Status(sets.status().code(),
                          absl::StrCat("exact cut: ", sets.status().message(),
                                       ", the most that it looks at; use --cut=balanced, which needs none of them"));
    }
    finder.Try(*sets, kAnyPieces);
    cut.exact = true;
  } else if (search == CutSearch::kDefault && sets.ok()) {
    cut.exact = finder.Try(*sets, kFewPieces);
  }
  cut.method = cut.exact ? absl::StrCat("exact, over ", sets->size(), " down-sets")
                         : absl::StrCat("over the prefixes of ", finder.TryOrders(), " orders");
  if (!finder.found()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no cut into ", stages, " stages keeps ",
                     rules.pinned.empty() ? "the memory of the devices"
                                          : "every node where it is pinned and every stage with a node of its own"));
  }
  cut.stage_of_unit = finder.Take();
  return cut;
}

}  // namespace millrace
