#include "partitioner/schedule/lazy_w.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

class Placing {
 public:
  Placing(const Schedule& order, const ScheduleCosts& costs, int limit, int kept, bool in_every_gap)
      : order_(order),
        costs_(costs),
        limit_(limit),
        kept_(kept),
        in_every_gap_(in_every_gap),
        forward_(order.stages * order.micro_batches, kUnknown),
        backward_(order.stages * order.micro_batches, kUnknown),
        ranks_(order.ranks.size()) {}

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
    size_t head = 0;
    int held = 0;
    double now = 0;
    std::deque<Action> waiting;  // W's
    std::vector<Action> list;
  };

  int At(int stage, int micro_batch) const { return stage * order_.micro_batches + micro_batch; }

  double Arrival(const std::vector<double>& ends, int from, int to, int micro_batch) const {
    const double end = ends[At(from, micro_batch)];
    if (order_.rank_of_stage[from] == order_.rank_of_stage[to]) return end;
    return end + costs_.communication[std::min(from, to)];
  }

  double ReadyAt(const Action& action) const {
    const int s = action.stage, m = action.micro_batch;
    if (action.phase == proto::F) return s == 0 ? 0 : Arrival(forward_, s - 1, s, m);
    const double stashed = forward_[At(s, m)];
    return s + 1 == order_.stages ? stashed : std::max(stashed, Arrival(backward_, s + 1, s, m));
  }

  void Decide(int r, double time) {
    Rank& rank = ranks_[r];
    const std::vector<Action>& order = order_.ranks[r];
    while (rank.head < order.size() && order[rank.head].phase == proto::W) ++rank.head;
    if (rank.head == order.size()) {
      if (!rank.waiting.empty()) RunW(r, time);
      return;
    }
    const Action& next = order[rank.head];
    const double ready = ReadyAt(next);
    const bool full = next.phase == proto::F && rank.held + 2 > limit_;
    if (!rank.waiting.empty()) {
      const double end = time + costs_.backward_weight[rank.waiting.front().stage];
      if (full || end <= ready || (in_every_gap_ && time < ready)) return RunW(r, time);
    }
    if (ready <= time) return RunNext(r, time);
    if (ready < kUnknown) events_.push({ready, r});
  }

  void RunW(int r, double time) {
    Rank& rank = ranks_[r];
    const Action action = rank.waiting.front();
    rank.waiting.pop_front();
    rank.list.push_back(action);
    rank.held -= kept_;
    rank.now = time + costs_.backward_weight[action.stage];
    events_.push({rank.now, r});
  }

  void RunNext(int r, double time) {
    Rank& rank = ranks_[r];
    const Action& action = order_.ranks[r][rank.head++];
    const bool forward = action.phase == proto::F;
    rank.list.push_back(action);
    rank.held += forward ? 2 : kept_ - 2;
    rank.now = time + (forward ? costs_.forward : costs_.backward_input)[action.stage];
    (forward ? forward_ : backward_)[At(action.stage, action.micro_batch)] = rank.now;
    if (!forward) rank.waiting.push_back({action.stage, proto::W, action.micro_batch});
    events_.push({rank.now, r});
    const int to = action.stage + (forward ? 1 : -1);
    if (to < 0 || to >= order_.stages || order_.rank_of_stage[to] == r) return;
    Rank& other = ranks_[order_.rank_of_stage[to]];
    const double arrival = rank.now + costs_.communication[std::min(action.stage, to)];
    events_.push({std::max({arrival, other.now, time}), order_.rank_of_stage[to]});
    // A rank that idles decides again now that the end of its wait is known.
    if (other.now <= time) events_.push({time, order_.rank_of_stage[to]});
  }

  using Event = std::pair<double, int>;

  const Schedule& order_;
  const ScheduleCosts& costs_;
  const int limit_, kept_;
  const bool in_every_gap_;
  std::vector<double> forward_, backward_;  // ends
  std::vector<Rank> ranks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
};

}  // namespace

Schedule LazyW(const Schedule& schedule, const ScheduleCosts& costs, int limit, int kept, bool in_every_gap) {
  return Placing(schedule, costs, limit, kept, in_every_gap).Run();
}

}  // namespace millrace
