#include "runtime/plan/schedule_walk.h"

#include <cstdint>
#include <numeric>

namespace millrace {

std::optional<Action> NeighbourInput(const Schedule& schedule, const Action& action) {
  switch (action.phase) {
    case proto::F:
      if (action.stage == 0) return std::nullopt;
      return Action{action.stage - 1, proto::F, action.micro_batch};
    case proto::B:
    case proto::BW:
      if (action.stage == schedule.stages - 1) return std::nullopt;
      return Action{action.stage + 1, proto::B, action.micro_batch};
    default:
      return std::nullopt;
  }
}

std::vector<size_t> WalkSchedule(const Schedule& schedule, absl::FunctionRef<void(int, size_t)> visit) {
  const size_t pairs = static_cast<size_t>(schedule.stages) * schedule.micro_batches;
  std::vector<char> forward_done(pairs), backward_done(pairs);
  const auto done = [&](const Action& a) -> char& {
    return (a.phase == proto::F ? forward_done
                                : backward_done)[static_cast<size_t>(a.stage) * schedule.micro_batches + a.micro_batch];
  };
  std::vector<size_t> next(schedule.ranks.size(), 0);
  std::vector<int> awake(schedule.ranks.size());
  std::iota(awake.rbegin(), awake.rend(), 0);
  while (!awake.empty()) {
    const int rank = awake.back();
    awake.pop_back();
    const std::vector<Action>& list = schedule.ranks[rank];
    while (next[rank] < list.size()) {
      const Action& action = list[next[rank]];
      const std::optional<Action> input = NeighbourInput(schedule, action);
      if (input.has_value() && !done(*input)) break;
      visit(rank, next[rank]++);
      if (action.phase == proto::W || action.phase == proto::R) continue;
      done(action) = true;
      const int reader = action.stage + (action.phase == proto::F ? 1 : -1);
      if (reader < 0 || reader >= schedule.stages) continue;
      const int woken = schedule.rank_of_stage[reader];
      if (woken != rank) awake.push_back(woken);
    }
  }
  return next;
}

}  // namespace millrace
