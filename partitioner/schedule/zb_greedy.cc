#include "partitioner/schedule/zb_greedy.h"

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

// Sums of the same times in another order differ by less.
constexpr double kRounding = 1e-9;
// Of a try that may be given up.
constexpr int kRoundsBetweenLooks = 8;

}  // namespace

ZbGreedy::ZbGreedy(int ranks, int micro_batches, const ScheduleCosts& costs)
    : p_(ranks),
      m_(micro_batches),
      ranks_(ranks),
      ends_(2 * static_cast<size_t>(ranks) * micro_batches),
      phases_(3 * static_cast<size_t>(ranks) * micro_batches) {
  for (int r = 0; r < p_; ++r) {
    Rank& rank = ranks_[r];
    rank.forward = costs.forward[r];
    rank.backward_input = costs.backward_input[r];
    rank.backward_weight = costs.backward_weight[r];
    rank.to_next = costs.communication[r];
    rank.forward_end = ends_.data() + 2 * static_cast<size_t>(r) * m_;
    rank.backward_end = rank.forward_end + m_;
  }
}

void ZbGreedy::Start(int64_t limit, const ZbChoices& choices) {
  limit_ = limit;
  choices_ = choices;
  limited_ = false;
  largest_bubble_ = choices.allowed_bubble;
  for (int r = 0; r < p_; ++r) {
    Rank& rank = ranks_[r];
    rank.now = rank.first_start = rank.bubble = 0;
    rank.f = rank.b = rank.w = 0;
    rank.held = 0;
    rank.phases = phases_.data() + 3 * static_cast<size_t>(r) * m_;
  }
}

ZbTry ZbGreedy::Run(int64_t limit, const ZbChoices& choices, double worth) {
  ZbTry attempt;
  Start(limit, choices);
  WarmUp();
  for (int b = 1; b < m_; ++b) {
    Forwards();
    for (int r = p_ - 1; r >= 0; --r) Backward(r);
    if (b % kRoundsBetweenLooks != 0 || !IsLongerThan(worth)) continue;
    attempt.span = std::numeric_limits<double>::infinity();
    attempt.limited = limited_;
    return attempt;
  }
  for (Rank& rank : ranks_) {
    while (rank.w < m_) PutW(&rank);
    attempt.span = std::max(attempt.span, rank.now - rank.first_start);
    attempt.bubble = std::max(attempt.bubble, rank.bubble);
  }
  attempt.limited = limited_;
  return attempt;
}

Schedule ZbGreedy::Last() const {
  Schedule schedule{.stages = p_, .micro_batches = m_};
  auto phase = phases_.begin();
  for (int r = 0; r < p_; ++r) {
    schedule.rank_of_stage.push_back(r);
    std::vector<Action>& list = schedule.ranks.emplace_back();
    list.reserve(3 * static_cast<size_t>(m_));
    int next[proto::Phase_MAX + 1] = {};
    for (int i = 0; i < 3 * m_; ++i, ++phase) {
      const auto own = static_cast<proto::Phase>(*phase);
      list.push_back({r, own, next[own]++});
    }
  }
  return schedule;
}

// When what the next F (B) of rank r waits for is here.
double ZbGreedy::ForwardArrival(int r) const {
  return r == 0 ? 0 : ranks_[r - 1].forward_end[ranks_[r].f] + ranks_[r - 1].to_next;
}
double ZbGreedy::BackwardArrival(int r) const {
  return r + 1 == p_ ? 0 : ranks_[r + 1].backward_end[ranks_[r].b] + ranks_[r].to_next;
}

double ZbGreedy::Put(Rank* rank, proto::Phase phase, double arrival, double duration, int64_t held) {
  const double start = std::max(rank->now, arrival);
  if (rank->f + rank->b + rank->w == 0) {
    rank->first_start = start;
  } else {
    rank->bubble += start - rank->now;
    largest_bubble_ = std::max(largest_bubble_, rank->bubble);
  }
  rank->held += held;
  *rank->phases++ = static_cast<char>(phase);
  return rank->now = start + duration;
}

void ZbGreedy::PutF(int r) {
  Rank& rank = ranks_[r];
  rank.forward_end[rank.f] = Put(&rank, proto::F, ForwardArrival(r), rank.forward, 2);
  ++rank.f;
}

void ZbGreedy::PutB(int r) {
  Rank& rank = ranks_[r];
  rank.backward_end[rank.b] = Put(&rank, proto::B, BackwardArrival(r), rank.backward_input, -1);
  ++rank.b;
}

// A W waits for nothing and leaves no bubble.
void ZbGreedy::PutW(Rank* rank) {
  rank->now += rank->backward_weight;
  --rank->held;
  ++rank->w;
  *rank->phases++ = static_cast<char>(proto::W);
}

bool ZbGreedy::OverLimit(int64_t held) {
  if (held <= limit_) return false;
  limited_ = true;
  return true;
}

// Up to and with the first B of every rank.
void ZbGreedy::WarmUp() {
  for (int r = 0; r < p_; ++r) PutF(r);
  std::vector<int> more(p_);
  double first_b_end = 0;  // of the next rank
  for (int r = p_ - 1; r >= 0; --r) {
    const Rank& rank = ranks_[r];
    double now = rank.now;
    double arrival = now;
    if (r + 1 < p_) {
      arrival = first_b_end + rank.to_next;
      while (1 + more[r] < m_ && !OverLimit(2 * (int64_t{more[r]} + 2)) &&
             (choices_.wait_for_first_b ? now < arrival : now + rank.forward <= arrival)) {
        now += rank.forward;
        ++more[r];
        if (rank.forward <= 0 && more[r] >= 2 * p_) break;
      }
    }
    first_b_end = std::max(now, arrival) + rank.backward_input;
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
bool ZbGreedy::HoldsBack(int r) {
  const Rank &rank = ranks_[r], &next = ranks_[r + 1];
  const double needed = next.now + next.forward + next.backward_input + rank.to_next;
  if (rank.now >= needed) return true;
  const int64_t over = OverLimit(rank.held + 2) ? rank.held + 2 - limit_ : 0;
  const double freeing = std::min<int64_t>(over, rank.b - rank.w) * rank.backward_weight;
  if (rank.now + rank.forward + freeing <= needed) return false;
  return needed - rank.now <= largest_bubble_ - rank.bubble;
}

// One F on every rank that has one left, from the first rank on; where one leaves it out, all before it do.
void ZbGreedy::Forwards() {
  runs_.assign(p_, false);
  for (int r = 0; r < p_; ++r) {
    if (ranks_[r].f >= m_) continue;
    const bool ahead = r + 1 < p_ && ranks_[r].f >= ranks_[r + 1].f + 2;
    runs_[r] = !(choices_.hold_back_f && ahead && HoldsBack(r));
  }
  for (int r = p_ - 2; r >= 0; --r) runs_[r] = runs_[r] && (runs_[r + 1] || ranks_[r + 1].f >= m_);
  for (int r = 0; r < p_; ++r) {
    Rank& rank = ranks_[r];
    if (!runs_[r] || (r > 0 && rank.f >= ranks_[r - 1].f)) continue;
    while (OverLimit(rank.held + 2) && HasW(rank)) PutW(&rank);
    if (rank.held + 2 > limit_) continue;
    Fill(&rank, ForwardArrival(r));
    PutF(r);
  }
}

void ZbGreedy::Backward(int r) {
  Rank& rank = ranks_[r];
  Fill(&rank, BackwardArrival(r));
  if (r == 0 && rank.f == m_) {
    while (HasW(rank)) PutW(&rank);  // nothing waits for this rank's B any more
  }
  PutB(r);
}

// W's until `arrival`; the last may end later where the gap would make this rank's bubble the largest.
void ZbGreedy::Fill(Rank* rank, double arrival) {
  while (HasW(*rank) && rank->now + rank->backward_weight <= arrival) PutW(rank);
  if (!HasW(*rank) || rank->now >= arrival) return;
  if (choices_.always_fill || arrival - rank->now > largest_bubble_ - rank->bubble) PutW(rank);
}

// Without another bubble: what is left of a rank's own work.
bool ZbGreedy::IsLongerThan(double worth) const {
  if (worth == std::numeric_limits<double>::infinity()) return false;
  for (const Rank& rank : ranks_) {
    const double left =
        (m_ - rank.f) * rank.forward + (m_ - rank.b) * rank.backward_input + (m_ - rank.w) * rank.backward_weight;
    if (rank.now - rank.first_start + left > worth * (1 + kRounding)) return true;
  }
  return false;
}

}  // namespace millrace
