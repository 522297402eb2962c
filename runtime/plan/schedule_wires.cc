#include "runtime/plan/schedule_wires.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace millrace {
namespace {

constexpr std::array<int, 2> kNoWire = {-1, -1};

class Wiring {
 public:
  Wiring(const Schedule& schedule, const ScheduleResources& resources) : schedule_(schedule), resources_(resources) {}

  ScheduleWires Run() && {
    wires_.forward.assign(schedule_.stages, kNoWire);
    wires_.backward.assign(schedule_.stages, kNoWire);
    for (int s = 0; s + 1 < schedule_.stages; ++s) {
      const int here = schedule_.rank_of_stage[s], there = schedule_.rank_of_stage[s + 1];
      if (here == there) continue;
      wires_.forward[s] = Between(s, here, there);
      wires_.backward[s + 1] = Between(s, there, here);
    }
    return std::move(wires_);
  }

 private:
  // Wires are told apart by three numbers.
  int Wire(int kind, int a, int b) {
    const auto [at, is_new] = number_.try_emplace({kind, a, b}, wires_.count);
    if (is_new) ++wires_.count;
    return at->second;
  }

  std::array<int, 2> Between(int edge, int from, int to) {
    if (!resources_.wire_of_edge.empty()) return {Wire(0, resources_.wire_of_edge[edge], 0), -1};
    switch (resources_.wire) {
      case ScheduleResources::Wire::kDirection:
        return {Wire(0, from, to), -1};
      case ScheduleResources::Wire::kPair:
        return {Wire(0, std::min(from, to), std::max(from, to)), -1};
      case ScheduleResources::Wire::kPort:
        return {Wire(0, from, 0), Wire(1, to, 0)};
      case ScheduleResources::Wire::kRank:
        return {Wire(0, from, 0), Wire(0, to, 0)};
      case ScheduleResources::Wire::kShared:
        break;
    }
    return {Wire(0, 0, 0), -1};
  }

  const Schedule& schedule_;
  const ScheduleResources& resources_;
  absl::flat_hash_map<std::array<int, 3>, int> number_;
  ScheduleWires wires_;
};

}  // namespace

ScheduleWires WiresOf(const Schedule& schedule, const ScheduleResources& resources) {
  return Wiring(schedule, resources).Run();
}

}  // namespace millrace
