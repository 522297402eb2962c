#include "runtime/plan/schedule_deadlock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/schedule_walk.h"

namespace millrace {
namespace {

constexpr int kCycleShown = 12;  // waits
constexpr int kRanksShown = 16;
constexpr int kAround = 6;  // actions before and after where a rank stands

using Waits = std::function<ScheduleWait(int rank)>;

// Under the name that it has in its list.
Action Named(const Schedule& schedule, Action action) {
  if (action.phase != proto::B && action.phase != proto::W) return action;
  const std::vector<Action>& list = schedule.ranks[schedule.rank_of_stage[action.stage]];
  if (std::find(list.begin(), list.end(), action) == list.end()) action.phase = proto::BW;
  return action;
}

// Ranks that wait for each other in a circle. Every stuck rank waits for one that is stuck too.
std::vector<int> Cycle(const Schedule& schedule, const std::vector<size_t>& next, const Waits& wait) {
  int rank = 0;
  while (next[rank] == schedule.ranks[rank].size()) ++rank;
  std::vector<int> path;
  while (std::find(path.begin(), path.end(), rank) == path.end()) {
    path.push_back(rank);
    rank = schedule.rank_of_stage[wait(rank).missing.stage];
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), rank));
  return path;
}

std::string Window(const std::vector<Action>& list, size_t next) {
  const size_t first = next > kAround ? next - kAround : 0;
  const size_t last = std::min(list.size(), next + kAround + 1);
  std::string text = first > 0 ? " ..." : "";
  for (size_t i = first; i < last; ++i) {
    absl::StrAppend(&text, i == next ? " [" : " ", list[i].ToString(), i == next ? "]" : "");
  }
  return absl::StrCat(text, last < list.size() ? " ..." : "");
}

}  // namespace

std::string DescribeDeadlock(const Schedule& schedule, const std::vector<size_t>& next, const Waits& wait) {
  const std::vector<int> cycle = Cycle(schedule, next, wait);
  std::string text;
  bool for_slots = false;
  for (int i = 0; i < static_cast<int>(cycle.size()); ++i) {
    if (i == kCycleShown) {
      absl::StrAppend(&text, "; and ", cycle.size() - kCycleShown, " more");
      break;
    }
    const int rank = cycle[i];
    const Action& waiting = schedule.ranks[rank][next[rank]];
    const ScheduleWait what = wait(rank);
    const Action missing = Named(schedule, what.missing);
    const int maker = schedule.rank_of_stage[missing.stage];
    for_slots |= !what.purpose.empty();
    absl::StrAppend(&text, i > 0 ? "; " : "", "rank ", rank, " waits at ", waiting.ToString(), " for ",
                    missing.ToString(), what.purpose, ", which ", maker == rank ? "it" : absl::StrCat("rank ", maker),
                    " lists after ", schedule.ranks[maker][next[maker]].ToString());
  }
  absl::StrAppend(&text, "; put one of these earlier", for_slots ? " or give more slots" : "", "\n");
  const int ranks = schedule.ranks.size();
  const int digits = absl::StrCat(std::max(0, ranks - 1)).size();
  int shown = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const bool circular = std::find(cycle.begin(), cycle.end(), rank) != cycle.end();
    if (ranks > kRanksShown && (!circular || ++shown > kRanksShown)) continue;
    const bool stuck = next[rank] < schedule.ranks[rank].size();
    absl::StrAppend(&text, absl::StrFormat("%s rank %*d |", stuck ? "!" : " ", digits, rank),
                    Window(schedule.ranks[rank], next[rank]), " |\n");
  }
  return text;
}

std::string DescribeDeadlock(const Schedule& schedule, const std::vector<size_t>& next) {
  return DescribeDeadlock(schedule, next, [&](int rank) {
    return ScheduleWait{*NeighbourInput(schedule, schedule.ranks[rank][next[rank]]), ""};
  });
}

}  // namespace millrace
