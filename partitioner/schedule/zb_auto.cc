#include "partitioner/schedule/zb_auto.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "partitioner/schedule/span.h"
#include "partitioner/schedule/zb_h.h"

namespace millrace {
namespace {

// The heuristic's choices.
struct Choices {
  bool wait_for_first_b;  // run one more F before the first B even though B could then be here already
  bool hold_back_f;       // leave an F out where the next rank is two behind and it would delay a B
  bool always_fill;       // W in every gap, also in one that is no longer than others accepted
  double allowed_bubble;  // per rank, from the start
};

class Greedy {
 public:
  Greedy(int ranks, int micro_batches, const ScheduleCosts& costs, int64_t limit, const Choices& choices)
      : p_(ranks), m_(micro_batches), costs_(costs), limit_(limit), choices_(choices), ranks_(ranks) {
    for (Rank& rank : ranks_) rank.list.reserve(3 * m_);
    forward_end_.resize(p_, std::vector<double>(m_));
    backward_end_.resize(p_, std::vector<double>(m_));
    largest_bubble_ = choices.allowed_bubble;
  }

  void Run() {
    WarmUp();
    for (int b = 1; b < m_; ++b) {
      Forwards();
      for (int r = p_ - 1; r >= 0; --r) Backward(r);
    }
    for (int r = 0; r < p_; ++r) {
      while (ranks_[r].w < m_) PutW(r);
    }
  }

  double span() const {
    double longest = 0;
    for (const Rank& rank : ranks_) longest = std::max(longest, rank.now - rank.first_start);
    return longest;
  }

  double bubble() const {
    double largest = 0;
    for (const Rank& rank : ranks_) largest = std::max(largest, rank.bubble);
    return largest;
  }

  Schedule Take() {
    Schedule schedule{.stages = p_, .micro_batches = m_};
    for (int r = 0; r < p_; ++r) {
      schedule.rank_of_stage.push_back(r);
      schedule.ranks.push_back(std::move(ranks_[r].list));
    }
    return schedule;
  }

 private:
  struct Rank {
    int f = 0, b = 0, w = 0;  // how many of each stand in the list
    int64_t held = 0;         // in half micro-batches
    double now = 0;           // end of the list
    double first_start = 0;
    double bubble = 0;  // so far
    std::vector<Action> list;
  };

  // When what the next F (B) of rank r waits for is here.
  double ForwardArrival(int r) const {
    return r == 0 ? 0 : forward_end_[r - 1][ranks_[r].f] + costs_.communication[r - 1];
  }
  double BackwardArrival(int r) const {
    return r + 1 == p_ ? 0 : backward_end_[r + 1][ranks_[r].b] + costs_.communication[r];
  }

  double Put(int r, proto::Phase phase, int micro_batch, double arrival, double duration, int64_t held) {
    Rank& rank = ranks_[r];
    const double start = std::max(rank.now, arrival);
    if (rank.list.empty()) {
      rank.first_start = start;
    } else {
      rank.bubble += start - rank.now;
      largest_bubble_ = std::max(largest_bubble_, rank.bubble);
    }
    rank.held += held;
    rank.list.push_back({r, phase, micro_batch});
    return rank.now = start + duration;
  }

  void PutF(int r) {
    const int m = ranks_[r].f;
    forward_end_[r][m] = Put(r, proto::F, m, ForwardArrival(r), costs_.forward[r], 2);
    ++ranks_[r].f;
  }
  void PutB(int r) {
    const int m = ranks_[r].b;
    backward_end_[r][m] = Put(r, proto::B, m, BackwardArrival(r), costs_.backward_input[r], -1);
    ++ranks_[r].b;
  }
  void PutW(int r) { Put(r, proto::W, ranks_[r].w++, 0, costs_.backward_weight[r], -1); }

  bool HasW(int r) const { return ranks_[r].w < ranks_[r].b; }

  // Up to and with the first B of every rank.
  void WarmUp() {
    for (int r = 0; r < p_; ++r) PutF(r);
    std::vector<int> more(p_);
    double first_b_end = 0;  // of the next rank
    for (int r = p_ - 1; r >= 0; --r) {
      double now = ranks_[r].now;
      double arrival = now;
      if (r + 1 < p_) {
        arrival = first_b_end + costs_.communication[r];
        while (1 + more[r] < m_ && 2 * (more[r] + 2) <= limit_ &&
               (choices_.wait_for_first_b ? now < arrival : now + costs_.forward[r] <= arrival)) {
          now += costs_.forward[r];
          ++more[r];
          if (costs_.forward[r] <= 0 && more[r] >= 2 * p_) break;
        }
      }
      first_b_end = std::max(now, arrival) + costs_.backward_input[r];
    }
    // A rank stays ahead of the next one.
    for (int r = 1; r < p_; ++r) {
      while (more[r] > 0 && more[r] >= more[r - 1] && 1 + more[r] < m_) --more[r];
      more[r] = std::min(more[r], more[r - 1]);
    }
    for (int r = 0; r < p_; ++r) {
      for (int i = 0; i < more[r]; ++i) PutF(r);
    }
    for (int r = p_ - 1; r >= 0; --r) PutB(r);
  }

  // May rank r leave its F out of this round? Only where the next rank has work without it.
  bool HoldsBack(int r) const {
    const Rank &rank = ranks_[r], &next = ranks_[r + 1];
    const double needed = next.now + costs_.forward[r + 1] + costs_.backward_input[r + 1] + costs_.communication[r];
    if (rank.now >= needed) return true;
    const int64_t over = std::max<int64_t>(0, rank.held + 2 - limit_);
    const double freeing = std::min<int64_t>(over, rank.b - rank.w) * costs_.backward_weight[r];
    if (rank.now + costs_.forward[r] + freeing <= needed) return false;
    return needed - rank.now <= largest_bubble_ - rank.bubble;
  }

  // One F on every rank that has one left, from the first rank on; where one leaves it out, all before it do.
  void Forwards() {
    std::vector<bool>& runs = runs_;
    runs.assign(p_, false);
    for (int r = 0; r < p_; ++r) {
      if (ranks_[r].f >= m_) continue;
      const bool ahead = r + 1 < p_ && ranks_[r].f >= ranks_[r + 1].f + 2;
      runs[r] = !(choices_.hold_back_f && ahead && HoldsBack(r));
    }
    for (int r = p_ - 2; r >= 0; --r) runs[r] = runs[r] && (runs[r + 1] || ranks_[r + 1].f >= m_);
    for (int r = 0; r < p_; ++r) {
      if (!runs[r] || (r > 0 && ranks_[r].f >= ranks_[r - 1].f)) continue;
      while (ranks_[r].held + 2 > limit_ && HasW(r)) PutW(r);
      if (ranks_[r].held + 2 > limit_) continue;
      Fill(r, ForwardArrival(r));
      PutF(r);
    }
  }

  void Backward(int r) {
    Fill(r, BackwardArrival(r));
    if (r == 0 && ranks_[r].f == m_) {
      while (HasW(r)) PutW(r);  // nothing waits for this rank's B any more
    }
    PutB(r);
  }

  // W's until `arrival`; the last may end later where the gap would make this rank's bubble the largest.
  void Fill(int r, double arrival) {
    const Rank& rank = ranks_[r];
    while (HasW(r) && rank.now + costs_.backward_weight[r] <= arrival) PutW(r);
    if (!HasW(r) || rank.now >= arrival) return;
    if (choices_.always_fill || arrival - rank.now > largest_bubble_ - rank.bubble) PutW(r);
  }

  const int p_, m_;
  const ScheduleCosts& costs_;
  const int64_t limit_;  // in half micro-batches
  const Choices choices_;
  std::vector<Rank> ranks_;
  std::vector<std::vector<double>> forward_end_, backward_end_;
  std::vector<bool> runs_;
  double largest_bubble_ = 0;
};

// In half micro-batches, over the ranks.
int64_t MostHeld(const Schedule& schedule) {
  int64_t most = 0;
  for (const std::vector<Action>& list : schedule.ranks) {
    int64_t held = 0;
    for (const Action& action : list) most = std::max(most, held += action.phase == proto::F ? 2 : -1);
  }
  return most;
}

}  // namespace

Schedule ZbAuto(int ranks, int micro_batches, const ScheduleCosts& costs, double memory_limit) {
  const int64_t limit = memory_limit > 0 && memory_limit < 1e9 ? static_cast<int64_t>(std::floor(2 * memory_limit))
                                                               : std::numeric_limits<int64_t>::max() / 2;
  double best_span = std::numeric_limits<double>::infinity();
  Schedule best;
  const auto attempt = [&](int64_t held, Choices choices) {
    Greedy greedy(ranks, micro_batches, costs, held, choices);
    greedy.Run();
    const double bubble = greedy.bubble();
    if (greedy.span() < best_span) {
      best_span = greedy.span();
      best = greedy.Take();
    }
    return bubble;
  };
  // More room can lead the heuristic astray: those of ZB-1p and ZB-2p are tried where there is more.
  std::vector<int64_t> limits = {limit};
  for (int64_t less : {int64_t{4} * ranks, int64_t{2} * ranks}) {
    if (less < limits.back()) limits.push_back(less);
  }
  for (int64_t held : limits) {
    for (int bits = 0; bits < 8; ++bits) {
      const double bubble = attempt(held, {bool(bits & 1), bool(bits & 2), bool(bits & 4), 0});
      attempt(held, {bool(bits & 1), bool(bits & 2), bool(bits & 4), bubble});
    }
  }
  for (Schedule& pattern : std::vector<Schedule>{ZbH1(ranks, micro_batches), ZbH2(ranks, micro_batches)}) {
    if (MostHeld(pattern) > limit) continue;
    const double span = *LongestSpan(pattern, costs);
    if (span >= best_span) continue;
    best_span = span;
    best = std::move(pattern);
  }
  return best;
}

}  // namespace millrace
