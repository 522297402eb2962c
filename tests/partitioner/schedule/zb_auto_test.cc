// Automatic zero bubble leaves tries out and shares them among limits: it must come to what all of them, each made from
// nothing, come to.
#include "partitioner/schedule/zb_auto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "partitioner/schedule/span.h"
#include "partitioner/schedule/zb_greedy.h"
#include "partitioner/schedule/zb_h.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

double MostHeld(const Schedule& schedule) {
  double most = 0;
  for (const std::vector<Action>& list : schedule.ranks) {
    double held = 0;
    for (const Action& action : list) most = std::max(most, held += action.phase == proto::F ? 1 : -0.5);
  }
  return most;
}

// The first of the shortest of all tries, then the patterns.
Schedule OfAllTries(int ranks, int micro_batches, const ScheduleCosts& costs, double memory_limit) {
  double best_span = kNever;
  Schedule best;
  std::vector<double> limits = {memory_limit == 0 ? 1e9 : std::floor(2 * memory_limit) / 2};
  for (int times : {2, 1}) {
    if (times * ranks < limits.back()) limits.push_back(times * ranks);
  }
  for (double limit : limits) {
    for (int bits = 0; bits < 8; ++bits) {
      double bubble = 0;
      for (int second : {0, 1}) {
        ZbGreedy greedy(ranks, micro_batches, costs);
        const ZbTry found = greedy.Run(static_cast<int64_t>(2 * limit),
                                       {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, second * bubble}, kNever);
        bubble = found.bubble;
        if (found.span >= best_span) continue;
        best_span = found.span;
        best = greedy.Last();
      }
    }
  }
  for (const Schedule& pattern : {ZbH1(ranks, micro_batches), ZbH2(ranks, micro_batches)}) {
    const double span = *LongestSpan(pattern, costs);
    if (MostHeld(pattern) > limits[0] || span >= best_span) continue;
    best_span = span;
    best = pattern;
  }
  return best;
}

TEST(ZbAutoTest, LeavesOutOnlyWhatCannotWin) {
  for (int seed = 0; seed < 250; ++seed) {
    std::mt19937_64 random(seed);
    const auto draw = [&](double most) {
      const double value = std::uniform_real_distribution<double>(0, most)(random);
      return seed % 3 == 0 ? std::floor(value) : value;  // whole numbers: many spans are equal
    };
    const int ranks = 1 + static_cast<int>(random() % 8), micro_batches = 1 + static_cast<int>(random() % 24);
    ScheduleCosts costs = ScheduleCosts::Uniform(ranks, 1, 1, 1, 0);
    for (int r = 0; r < ranks; ++r) {
      costs.forward[r] = draw(9);
      costs.backward_input[r] = draw(9);
      costs.backward_weight[r] = draw(9);
      costs.communication[r] = seed % 2 == 0 ? draw(3) : 0;
    }
    const std::vector<double> limits = {0, 2.0 * ranks, 1.0 * ranks};
    const auto under = ZbAutoUnder(ranks, micro_batches, costs, limits);
    for (double limit : limits) EXPECT_EQ(under(limit), OfAllTries(ranks, micro_batches, costs, limit)) << seed;
    const double own = 1 + draw(2.0 * ranks);
    EXPECT_EQ(ZbAuto(ranks, micro_batches, costs, own), OfAllTries(ranks, micro_batches, costs, own)) << seed;
  }
}

}  // namespace
}  // namespace millrace
