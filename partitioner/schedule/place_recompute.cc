#include "partitioner/schedule/place_recompute.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "partitioner/schedule/span.h"

namespace millrace {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();
constexpr double kEquallyLong = 1e-9;          // relative
constexpr int kMostAhead = 3;                  // micro-batches recomputed before the one whose B comes next
constexpr int64_t kMostLookedAt = 50'000'000;  // actions, by the search for later places

bool IsBackward(const Action& action) { return action.phase == proto::B || action.phase == proto::BW; }

// Plays the order against the clock. An R runs when its B is next at the latest; sooner where the next action is not
// ready (by the time that R would end, unless `in_every_gap`) and fewer than `ahead` recomputed micro-batches wait.
class Placing {
 public:
  Placing(const Schedule& order, const ScheduleCosts& costs, const std::vector<bool>& recomputes, int ahead,
          bool in_every_gap)
      : order_(order),
        costs_(costs),
        recomputes_(recomputes),
        ahead_(ahead),
        in_every_gap_(in_every_gap),
        forward_(static_cast<size_t>(order.stages) * order.micro_batches, kUnknown),
        backward_(forward_),
        ranks_(order.ranks.size()) {
    for (size_t r = 0; r < ranks_.size(); ++r) {
      for (const Action& action : order.ranks[r]) {
        if (IsBackward(action) && recomputes[action.stage]) {
          ranks_[r].waiting.push_back({action.stage, proto::R, action.micro_batch});
        }
      }
    }
  }

  Schedule Run() {
    for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) events_.push({0, r});
    while (!events_.empty()) {
      const auto [time, rank] = events_.top();
      events_.pop();
      if (ranks_[rank].now <= time) Decide(rank, time);
    }
    Schedule schedule = order_;
    for (size_t r = 0; r < ranks_.size(); ++r) schedule.ranks[r] = std::move(ranks_[r].list);
    return schedule;
  }

 private:
  struct Rank {
    size_t head = 0;
    int early = 0;  // R's whose B has not run
    double now = 0;
    std::deque<Action> waiting;  // R's, in the order of their B's
    std::vector<Action> list;
  };
  using Event = std::pair<double, int>;

  size_t At(int stage, int micro_batch) const {
    return static_cast<size_t>(stage) * order_.micro_batches + micro_batch;
  }

  double Arrival(const std::vector<double>& ends, int from, int to, int micro_batch) const {
    const double end = ends[At(from, micro_batch)];
    if (order_.rank_of_stage[from] == order_.rank_of_stage[to]) return end;
    return end + costs_.communication[std::min(from, to)];
  }

  double ReadyAt(const Action& action) const {
    const int s = action.stage, m = action.micro_batch;
    if (action.phase == proto::F) return s == 0 ? 0 : Arrival(forward_, s - 1, s, m);
    if (!IsBackward(action)) return 0;  // its own list holds before it what it needs
    return s + 1 == order_.stages ? forward_[At(s, m)] : Arrival(backward_, s + 1, s, m);
  }

  double Duration(const Action& action) const {
    const int s = action.stage;
    switch (action.phase) {
      case proto::F:
        return costs_.forward[s];
      case proto::R:
        return costs_.recompute.empty() ? costs_.forward[s] : costs_.recompute[s];
      case proto::B:
        return costs_.backward_input[s];
      case proto::W:
        return costs_.backward_weight[s];
      default:
        return costs_.backward_input[s] + costs_.backward_weight[s];
    }
  }

  void Decide(int r, double time) {
    Rank& rank = ranks_[r];
    if (rank.head == order_.ranks[r].size()) return;
    const Action& next = order_.ranks[r][rank.head];
    const Action* again = rank.waiting.empty() ? nullptr : &rank.waiting.front();
    if (again != nullptr && IsBackward(next) && next.stage == again->stage && next.micro_batch == again->micro_batch) {
      return RunAgain(r, time);
    }
    const double ready = ReadyAt(next);
    if (ready > time && again != nullptr && rank.early < ahead_ &&
        forward_[At(again->stage, again->micro_batch)] <= time && (in_every_gap_ || time + Duration(*again) <= ready)) {
      return RunAgain(r, time);
    }
    if (ready <= time) return RunNext(r, time);
    if (ready < kUnknown) events_.push({ready, r});
  }

  void RunAgain(int r, double time) {
    Rank& rank = ranks_[r];
    const Action action = rank.waiting.front();
    rank.waiting.pop_front();
    rank.list.push_back(action);
    ++rank.early;
    rank.now = time + Duration(action);
    events_.push({rank.now, r});
  }

  void RunNext(int r, double time) {
    Rank& rank = ranks_[r];
    const Action& action = order_.ranks[r][rank.head++];
    rank.list.push_back(action);
    rank.now = time + Duration(action);
    events_.push({rank.now, r});
    if (IsBackward(action) && recomputes_[action.stage]) --rank.early;
    if (action.phase != proto::F && !IsBackward(action)) return;
    const bool forward = action.phase == proto::F;
    (forward ? forward_ : backward_)[At(action.stage, action.micro_batch)] = rank.now;
    const int to = action.stage + (forward ? 1 : -1);
    if (to < 0 || to >= order_.stages || order_.rank_of_stage[to] == r) return;
    const int other = order_.rank_of_stage[to];
    const double arrival = rank.now + costs_.communication[std::min(action.stage, to)];
    events_.push({std::max(arrival, ranks_[other].now), other});
    // A rank that idles decides again now that the end of its wait is known.
    if (ranks_[other].now <= time) events_.push({time, other});
  }

  const Schedule& order_;
  const ScheduleCosts& costs_;
  const std::vector<bool>& recomputes_;
  const int ahead_;
  const bool in_every_gap_;
  std::vector<double> forward_, backward_;  // ends
  std::vector<Rank> ranks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
};

double SpanOf(const Schedule& schedule, const ScheduleCosts& costs) {
  return LongestSpan(schedule, costs).value_or(kUnknown);
}

// Moves each R that `movable` marks to the latest place before its B that does not make the span longer.
void MoveBack(const ScheduleCosts& costs, const std::vector<bool>& movable, double span, Schedule* schedule) {
  int64_t actions = 0, looked_at = 0;
  for (const std::vector<Action>& list : schedule->ranks) actions += static_cast<int64_t>(list.size());
  for (std::vector<Action>& list : schedule->ranks) {
    for (int i = static_cast<int>(list.size()) - 1; i >= 0; --i) {
      const Action again = list[i];
      if (again.phase != proto::R || !movable[again.stage]) continue;
      int last = i;
      while (!(IsBackward(list[last + 1]) && list[last + 1].stage == again.stage &&
               list[last + 1].micro_batch == again.micro_batch)) {
        ++last;
      }
      for (int place = last; place > i && looked_at < kMostLookedAt; --place, looked_at += actions) {
        std::rotate(list.begin() + i, list.begin() + i + 1, list.begin() + place + 1);
        if (SpanOf(*schedule, costs) <= span * (1 + kEquallyLong)) break;
        std::rotate(list.begin() + i, list.begin() + place, list.begin() + place + 1);
      }
    }
  }
}

}  // namespace

Schedule PlaceRecompute(const Schedule& schedule, const ScheduleCosts& costs, const std::vector<bool>& recomputes) {
  std::vector<bool> missing = recomputes;
  for (const std::vector<Action>& list : schedule.ranks) {
    for (const Action& action : list) {
      if (action.phase == proto::R) missing[action.stage] = false;
    }
  }
  if (std::find(missing.begin(), missing.end(), true) == missing.end()) return schedule;
  Schedule best = Placing(schedule, costs, missing, /*ahead=*/0, /*in_every_gap=*/false).Run();
  double best_span = SpanOf(best, costs);
  for (int ahead = 1; ahead <= kMostAhead; ++ahead) {
    for (const bool in_every_gap : {false, true}) {
      Schedule placed = Placing(schedule, costs, missing, ahead, in_every_gap).Run();
      const double span = SpanOf(placed, costs);
      if (span >= best_span * (1 - kEquallyLong)) continue;
      best = std::move(placed);
      best_span = span;
    }
  }
  MoveBack(costs, missing, best_span, &best);
  return best;
}

ScheduleCosts RecomputeInside(const ScheduleCosts& costs, const std::vector<bool>& recomputes) {
  ScheduleCosts inside = costs;
  for (size_t s = 0; s < recomputes.size(); ++s) {
    if (recomputes[s]) inside.backward_input[s] += costs.recompute.empty() ? costs.forward[s] : costs.recompute[s];
  }
  return inside;
}

RecomputeSpans SpansOfRecompute(const Schedule& schedule, const ScheduleCosts& costs,
                                const std::vector<bool>& recomputes) {
  RecomputeSpans spans;
  spans.without = SpanOf(schedule, costs);
  spans.inside = SpanOf(schedule, RecomputeInside(costs, recomputes));
  spans.placed = SpanOf(PlaceRecompute(schedule, costs, recomputes), costs);
  const double added = spans.inside - spans.without;
  if (added > kEquallyLong * spans.without) spans.hidden = 1 - (spans.placed - spans.without) / added;
  return spans;
}

}  // namespace millrace
