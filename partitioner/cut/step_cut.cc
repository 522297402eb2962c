#include "partitioner/cut/step_cut.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostActions = 1'000'000;
constexpr double kWorthIt = 1e-4;

class Mover {
 public:
  Mover(const Chain& chain, const CutRules& rules, const Schedule& schedule)
      : chain_(chain), rules_(rules), schedule_(schedule), units_(static_cast<int>(chain.units.size())) {
    for (const std::vector<Action>& rank : schedule.ranks) actions_ += static_cast<int64_t>(rank.size());
  }

  absl::StatusOr<StepCut> Run(const Cut& cut) {
    StepCut best{.cut = cut};
    MR_ASSIGN_OR_RETURN(best.seconds, Seconds(cut));
    best.before = best.seconds;
    seen_.insert(cut.first_unit);
    for (bool moved = true; moved;) {
      moved = false;
      for (const Cut& next : NearbyCuts(best.cut, units_)) {
        if (simulated_ + actions_ > kMostActions) return best;
        if (!seen_.insert(next.first_unit).second || !Keeps(next)) continue;
        MR_ASSIGN_OR_RETURN(const double seconds, Seconds(next));
        if (seconds > best.seconds * (1 - kWorthIt)) continue;
        best.cut = next;
        best.seconds = seconds;
        moved = true;
        break;
      }
    }
    return best;
  }

 private:
  absl::StatusOr<double> Seconds(const Cut& cut) {
    simulated_ += actions_;
    MR_ASSIGN_OR_RETURN(const ScheduleSimulation simulation,
                        SimulateSchedule(schedule_, CostsOfStages(chain_, cut, rules_)));
    return simulation.makespan;
  }

  bool Keeps(const Cut& cut) const {
    const int stages = static_cast<int>(cut.first_unit.size());
    for (int s = 0; s < stages; ++s) {
      const int begin = cut.first_unit[s], end = s + 1 < stages ? cut.first_unit[s + 1] : units_;
      if (!MayBeStage(chain_, rules_, s, begin, end)) return false;
    }
    return true;
  }

  const Chain& chain_;
  const CutRules& rules_;
  const Schedule& schedule_;
  const int units_;
  int64_t actions_ = 0, simulated_ = 0;
  std::set<std::vector<int>> seen_;
};

bool HasEmptyStage(const Cut& cut, int units) {
  for (size_t s = 0; s < cut.first_unit.size(); ++s) {
    const int end = s + 1 < cut.first_unit.size() ? cut.first_unit[s + 1] : units;
    if (cut.first_unit[s] >= end) return true;
  }
  return false;
}

}  // namespace

std::vector<Cut> NearbyCuts(const Cut& cut, int units) {
  std::vector<Cut> cuts;
  const size_t stages = cut.first_unit.size();
  for (const int by : {1, -1, 2, -2, 4, -4, 8, -8}) {
    for (size_t s = 1; s < stages; ++s) {
      for (size_t last = s; last < std::min(s + 2, stages); ++last) {
        Cut next = cut;
        for (size_t b = s; b <= last; ++b) next.first_unit[b] += by;
        if (!HasEmptyStage(next, units)) cuts.push_back(std::move(next));
      }
    }
  }
  return cuts;
}

ScheduleCosts CostsOfStages(const Chain& chain, const Cut& cut, const CutRules& rules) {
  const int stages = static_cast<int>(cut.first_unit.size());
  ScheduleCosts costs = ScheduleCosts::Uniform(stages, 0, 0, 0, 0);
  std::vector<uint64_t> crossing(stages, 0);
  const std::vector<int> stage_of = StagesOfUnits(chain, cut);
  for (size_t u = 0; u < chain.units.size(); ++u) {
    const int s = stage_of[u], device = rules.device_of_stage[s];
    costs.forward[s] += chain.units[u].forward[device];
    costs.backward_input[s] += chain.units[u].backward[device];
    costs.backward_weight[s] += chain.units[u].weight[device];
  }
  for (const ChainTensor& tensor : chain.tensors) {
    for (int s = stage_of[tensor.units.front()]; s < stage_of[tensor.units.back()]; ++s) crossing[s] += tensor.bytes;
  }
  for (size_t s = 0; s < costs.communication.size(); ++s) {
    const uint64_t bytes = crossing[s] / 2;
    costs.communication[s] =
        rules.boundary_seconds ? rules.boundary_seconds(static_cast<int>(s), bytes) : rules.link_seconds(bytes);
  }
  return costs;
}

absl::StatusOr<StepCut> ImproveStep(const Chain& chain, const Cut& cut, const CutRules& rules,
                                    const Schedule& schedule) {
  return Mover(chain, rules, schedule).Run(cut);
}

}  // namespace millrace
