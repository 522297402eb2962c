#include "partitioner/schedule/replicated.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

Schedule Placed(const std::vector<int>& replicas, int micro_batches) {
  Schedule schedule;
  schedule.micro_batches = micro_batches;
  for (int count : replicas) {
    const int first = schedule.stages;
    for (int j = 0; j < count; ++j) {
      schedule.rank_of_stage.push_back(schedule.stages++);
      schedule.first_replica.push_back(first);
    }
  }
  schedule.ranks.resize(schedule.stages);
  return schedule;
}

// Each rank: so many forward passes first, then one backward pass after each forward pass.
void Fill(const std::vector<int>& in_flight, Schedule* schedule) {
  for (int s = 0; s < schedule->stages; ++s) {
    std::vector<int> mine;
    for (int m = 0; m < schedule->micro_batches; ++m) {
      if (schedule->Takes(s, m)) mine.push_back(m);
    }
    std::vector<Action>& list = schedule->ranks[s];
    list.clear();
    const size_t ahead = std::min<size_t>(mine.size(), in_flight[s]);
    for (size_t f = 0; f < ahead; ++f) list.push_back({s, proto::F, mine[f]});
    for (size_t b = 0; b < mine.size(); ++b) {
      list.push_back({s, proto::BW, mine[b]});
      if (ahead + b < mine.size()) list.push_back({s, proto::F, mine[ahead + b]});
    }
  }
}

// Do the lists come to an end, each action waiting for its neighbour stages' of the same micro-batch, and where
// replicas meet for theirs of the round before?
bool Ends(const Schedule& schedule, const std::vector<int>& replicas, bool meet) {
  const int bases = static_cast<int>(replicas.size());
  std::vector<int> base_of(schedule.stages), forward(schedule.micro_batches, 0);
  std::vector<int> backward(schedule.micro_batches, bases);  // the last stage that has run it, from behind
  for (int base = 0, s = 0; base < bases; ++base) {
    for (int j = 0; j < replicas[base]; ++j) base_of[s++] = base;
  }
  std::vector<size_t> at(schedule.stages, 0);
  // By stage of the cut, and backward or not: actions done.
  std::vector<std::array<int, 2>> done(bases, {0, 0});
  for (bool moved = true; moved;) {
    moved = false;
    for (int s = 0; s < schedule.stages; ++s) {
      for (; at[s] < schedule.ranks[s].size(); ++at[s], moved = true) {
        const Action& action = schedule.ranks[s][at[s]];
        int& f = forward[action.micro_batch];
        int& b = backward[action.micro_batch];
        if (action.phase == proto::F ? f != base_of[s] : b != base_of[s] + 1 || f != bases) break;
        const int base = base_of[s];
        int& passes = done[base][action.phase != proto::F];
        if (meet && passes < action.micro_batch / replicas[base] * replicas[base]) break;
        ++passes;
        action.phase == proto::F ? ++f : --b;
      }
    }
  }
  for (int s = 0; s < schedule.stages; ++s) {
    if (at[s] < schedule.ranks[s].size()) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Schedule> ReplicatedSchedule(const std::string& kind, const std::vector<int>& replicas,
                                            int micro_batches, bool meet) {
  if (kind != "gpipe" && kind != "1f1b") {
    return absl::InvalidArgumentError(
        absl::StrCat("schedule ", kind, " does not know stages with replicas of their own; gpipe and 1f1b do"));
  }
  for (size_t s = 0; s < replicas.size(); ++s) {
    if (replicas[s] >= 1 && micro_batches % replicas[s] == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("stage ", s, " has ", replicas[s], " replicas, which ",
                                                   micro_batches, " micro-batches do not divide evenly among"));
  }
  Schedule schedule = Placed(replicas, micro_batches);
  std::vector<int> in_flight(schedule.stages, micro_batches);
  for (int more = 0; more <= micro_batches; ++more) {
    for (int s = 0; s < schedule.stages && kind == "1f1b"; ++s) {
      const int behind = schedule.stages - schedule.first_replica[s];  // ranks from this stage on
      const int count = schedule.ReplicasOf(s);
      in_flight[s] = (behind + count - 1) / count + more;
    }
    Fill(in_flight, &schedule);
    if (Ends(schedule, replicas, meet)) return schedule;
  }
  return absl::InternalError("no number of micro-batches in flight lets the stages' replicas come to an end");
}

Schedule ReplicatedForward(const Schedule& train, int micro_batches) {
  Schedule schedule = train;
  schedule.micro_batches = micro_batches;
  for (std::vector<Action>& rank : schedule.ranks) rank.clear();
  for (int m = 0; m < micro_batches; ++m) {
    for (int s = 0; s < schedule.stages; ++s) {
      if (schedule.Takes(s, m)) schedule.ranks[schedule.rank_of_stage[s]].push_back({s, proto::F, m});
    }
  }
  return schedule;
}

}  // namespace millrace
