#include "partitioner/schedule/zb_auto.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "partitioner/schedule/span.h"
#include "partitioner/schedule/zb_greedy.h"
#include "partitioner/schedule/zb_h.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// In half micro-batches.
int64_t LimitOf(double memory_limit) {
  return memory_limit > 0 && memory_limit < 1e9 ? static_cast<int64_t>(std::floor(2 * memory_limit))
                                                : std::numeric_limits<int64_t>::max() / 2;
}

// More room can lead the heuristic astray: those of ZB-1p and ZB-2p are tried where there is more.
std::vector<int64_t> LimitsWithin(int64_t limit, int ranks) {
  std::vector<int64_t> limits = {limit};
  for (int64_t less : {int64_t{4} * ranks, int64_t{2} * ranks}) {
    if (less < limits.back()) limits.push_back(less);
  }
  return limits;
}

// In half micro-batches, over the ranks.
int64_t MostHeld(const Schedule& schedule) {
  int64_t most = 0;
  for (const std::vector<Action>& list : schedule.ranks) {
    int64_t held = 0;
    for (const Action& action : list) most = std::max(most, held += action.phase == proto::F ? 2 : -1);
  }
  return most;
}

// Two tries for each combination of choices: without a bubble from the start, and with the one that the first met.
constexpr int kCombinations = 8;
struct TriesUnderLimit {
  std::array<ZbTry, 2 * kCombinations> tries;
};

ZbChoices ChoicesOf(const TriesUnderLimit& under, int index) {
  const int bits = index / 2;
  return {bool(bits & 1), bool(bits & 2), bool(bits & 4), index % 2 == 0 ? 0 : under.tries[index - 1].bubble};
}

class Tries {
 public:
  Tries(int ranks, int micro_batches, const ScheduleCosts& costs)
      : greedy_(ranks, micro_batches, costs), patterns_{ZbH1(ranks, micro_batches)} {
    patterns_.push_back(ZbH2(ranks, micro_batches));
    for (const Schedule& pattern : patterns_) {
      pattern_held_.push_back(MostHeld(pattern));
      pattern_span_.push_back(*LongestSpan(pattern, costs));
    }
  }

  // REQUIRES: no call before was for a larger limit.
  void Try(int64_t limit) {
    if (!done_.empty() && done_.rbegin()->first == limit) return;
    TriesUnderLimit under;
    for (int i = 0; i < 2 * kCombinations; ++i) {
      const std::optional<ZbTry> known = Known(i, under);
      under.tries[i] =
          known.has_value() ? *known : greedy_.Run(limit, ChoicesOf(under, i), i % 2 == 0 ? kNever : best_span_);
      best_span_ = std::min(best_span_, under.tries[i].span);
    }
    done_.emplace(limit, under);
  }

  // The first of the shortest: the largest limit first, the patterns last.
  Schedule Best(int64_t limit, int ranks) {
    double best_span = kNever;
    std::pair<int64_t, int> best = {limit, 0};
    for (int64_t held : LimitsWithin(limit, ranks)) {
      for (int i = 0; i < 2 * kCombinations; ++i) {
        if (done_[held].tries[i].span >= best_span) continue;
        best_span = done_[held].tries[i].span;
        best = {held, i};
      }
    }
    const Schedule* pattern = nullptr;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (pattern_held_[i] > limit || pattern_span_[i] >= best_span) continue;
      best_span = pattern_span_[i];
      pattern = &patterns_[i];
    }
    if (pattern != nullptr) return *pattern;
    greedy_.Run(best.first, ChoicesOf(done_[best.first], best.second), kNever);
    return greedy_.Last();
  }

 private:
  // How a try ends that has been made already: under the limit before, where that limit changed nothing; or, a second
  // one that differs in a bubble that nobody asks for, as the first. (A first one is never given up: it tells the
  // second its bubble.)
  std::optional<ZbTry> Known(int index, const TriesUnderLimit& under) const {
    const ZbChoices choices = ChoicesOf(under, index);
    if (index % 2 == 1) {
      const bool asked = choices.hold_back_f || !choices.always_fill;
      if (!asked || choices.allowed_bubble == 0) return under.tries[index - 1];
    }
    if (done_.empty()) return std::nullopt;
    const TriesUnderLimit& smaller = done_.rbegin()->second;
    const bool equal = ChoicesOf(smaller, index).allowed_bubble == choices.allowed_bubble;
    if (!equal || smaller.tries[index].limited) return std::nullopt;
    return smaller.tries[index];
  }

  ZbGreedy greedy_;
  std::vector<Schedule> patterns_;
  std::vector<int64_t> pattern_held_;
  std::vector<double> pattern_span_;
  std::map<int64_t, TriesUnderLimit> done_;  // by limit
  double best_span_ = kNever;
};

}  // namespace

std::function<Schedule(double)> ZbAutoUnder(int ranks, int micro_batches, const ScheduleCosts& costs,
                                            const std::vector<double>& memory_limits) {
  std::vector<int64_t> limits;
  for (double memory_limit : memory_limits) {
    for (int64_t limit : LimitsWithin(LimitOf(memory_limit), ranks)) limits.push_back(limit);
  }
  std::sort(limits.begin(), limits.end());
  const auto tries = std::make_shared<Tries>(ranks, micro_batches, costs);
  for (int64_t limit : limits) tries->Try(limit);
  return [tries, ranks](double memory_limit) { return tries->Best(LimitOf(memory_limit), ranks); };
}

Schedule ZbAuto(int ranks, int micro_batches, const ScheduleCosts& costs, double memory_limit) {
  return ZbAutoUnder(ranks, micro_batches, costs, {memory_limit})(memory_limit);
}

}  // namespace millrace
