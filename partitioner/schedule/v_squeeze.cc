#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "partitioner/schedule/v_block.h"

namespace millrace {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

class Squeezer {
 public:
  Squeezer(const Schedule& order, const ScheduleCosts& costs, const SqueezeOptions& options)
      : order_(order),
        costs_(costs),
        options_(options),
        forward_(order.stages * order.micro_batches, kUnknown),
        backward_(order.stages * order.micro_batches, kUnknown),
        ranks_(order.ranks.size()) {
    for (int r = 0; r < ranks_.size(); ++r) ranks_[r].taken.resize(order.ranks[r].size());
  }

  Schedule Run() {
    for (int r = 0; r < ranks_.size(); ++r) events_.push({0, r});
    while (!events_.empty()) {
      const auto [time, rank] = events_.top();
      events_.pop();
      if (ranks_[rank].now <= time) Decide(rank, time);
    }
    Schedule schedule = order_;
    for (int r = 0; r < ranks_.size(); ++r) schedule.ranks[r] = std::move(ranks_[r].list);
    return schedule;
  }

 private:
  struct Rank {
    size_t head = 0;          // the first of the order that has not run
    std::vector<bool> taken;  // of the order
    int held = 0;
    double now = 0;
    std::vector<Action> list;
  };

  int At(const Action& action) const { return action.stage * order_.micro_batches + action.micro_batch; }

  double Handover(double end, int from, int to) const {
    if (order_.rank_of_stage[from] == order_.rank_of_stage[to]) return end;
    return end + costs_.communication[std::min(from, to)];
  }

  // kUnknown while what it waits for has not begun.
  double ReadyAt(const Action& action) const {
    const int s = action.stage, at = At(action);
    switch (action.phase) {
      case proto::F:
        return s == 0 ? 0 : Handover(forward_[at - order_.micro_batches], s - 1, s);
      case proto::B:
        if (s + 1 == order_.stages) return forward_[at];
        return std::max(forward_[at], Handover(backward_[at + order_.micro_batches], s + 1, s));
      default:
        return backward_[at];
    }
  }

  double Duration(const Action& action) const {
    return action.phase == proto::F   ? costs_.forward[action.stage]
           : action.phase == proto::B ? costs_.backward_input[action.stage]
                                      : costs_.backward_weight[action.stage];
  }

  int HalvesOf(proto::Phase phase) const {
    return phase == proto::F ? 2 : phase == proto::W ? -options_.kept : options_.kept - 2;
  }

  void Decide(int r, double time) {
    Rank& rank = ranks_[r];
    const std::vector<Action>& order = order_.ranks[r];
    while (rank.head < order.size() && rank.taken[rank.head]) ++rank.head;
    if (rank.head == order.size()) return;
    const double head_ready = ReadyAt(order[rank.head]);
    if (head_ready <= time) return Take(r, rank.head, time);
    const int later = LaterPass(r, time, head_ready);
    if (later >= 0) return Take(r, later, time);
    // An arrival that is known; others wake this rank when they become known.
    if (head_ready < kUnknown) events_.push({head_ready, r});
  }

  // The earliest ready pass behind the head that memory and the gap allow; -1: none. A phase of a stage stays in
  // micro-batch order, so only the first of each that is left can be it.
  int LaterPass(int r, double time, double gap_end) const {
    const Rank& rank = ranks_[r];
    const std::vector<Action>& order = order_.ranks[r];
    bool seen[2][6] = {};
    int left = 6;
    int held = rank.held, most = held;
    for (size_t i = rank.head; i < order.size() && left > 0; ++i) {
      if (rank.taken[i]) continue;
      const Action& action = order[i];
      bool& first = seen[action.stage != r][action.phase];
      if (!first) {
        first = true;
        --left;
        // Taken early, an F is held from here to its old place on top of all that is held there.
        const bool fits = action.phase != proto::F || most + 2 <= options_.limit;
        const bool in_time = !options_.in_gaps_only || time + Duration(action) <= gap_end;
        if (fits && in_time && ReadyAt(action) <= time) return static_cast<int>(i);
      }
      held += HalvesOf(action.phase);
      most = std::max(most, held);
    }
    return -1;
  }

  void Take(int r, int index, double time) {
    Rank& rank = ranks_[r];
    const Action& action = order_.ranks[r][index];
    rank.taken[index] = true;
    rank.held += HalvesOf(action.phase);
    rank.list.push_back(action);
    rank.now = time + Duration(action);
    events_.push({rank.now, r});
    if (action.phase == proto::W) return;
    const bool forward = action.phase == proto::F;
    (forward ? forward_ : backward_)[At(action)] = rank.now;
    const int to = action.stage + (forward ? 1 : -1);
    if (to < 0 || to >= order_.stages || order_.rank_of_stage[to] == r) return;
    const double arrival = Handover(rank.now, action.stage, to);
    events_.push({std::max(arrival, ranks_[order_.rank_of_stage[to]].now), order_.rank_of_stage[to]});
  }

  using Event = std::pair<double, int>;

  const Schedule& order_;
  const ScheduleCosts& costs_;
  const SqueezeOptions options_;
  std::vector<double> forward_, backward_;  // ends
  std::vector<Rank> ranks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
};

}  // namespace

Schedule Squeeze(const Schedule& order, const ScheduleCosts& costs, const SqueezeOptions& options) {
  return Squeezer(order, costs, options).Run();
}

}  // namespace millrace
