#include "partitioner/lower/scratch.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(PackIntervalsTest, WhatLivesTogetherLiesApart) {
  std::mt19937 random(3);
  double height_sum = 0, peak_sum = 0;
  for (int round = 0; round < 200; ++round) {
    const int calls = 30;
    std::vector<Interval> intervals;
    for (int i = 0; i < 40; ++i) {
      const int first = static_cast<int>(random() % calls);
      const int last = std::min<int>(calls - 1, first + static_cast<int>(random() % 6));
      intervals.push_back({first, last, 256 * (1 + random() % 20)});
    }
    const uint64_t height = PackIntervals(&intervals);
    uint64_t peak = 0, top = 0;
    for (int c = 0; c < calls; ++c) {
      uint64_t alive = 0;
      for (const Interval& i : intervals) alive += i.first <= c && c <= i.last ? i.bytes : 0;
      peak = std::max(peak, alive);
    }
    for (size_t a = 0; a < intervals.size(); ++a) {
      top = std::max(top, intervals[a].offset + intervals[a].bytes);
      EXPECT_EQ(intervals[a].offset % 256, 0u);
      for (size_t b = 0; b < a; ++b) {
        const Interval &x = intervals[a], &y = intervals[b];
        const bool together = x.first <= y.last && y.first <= x.last;
        const bool overlap = x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
        EXPECT_FALSE(together && overlap);
      }
    }
    EXPECT_EQ(height, top);
    EXPECT_GE(height, peak);
    height_sum += static_cast<double>(height), peak_sum += static_cast<double>(peak);
  }
  EXPECT_LT(height_sum, 1.1 * peak_sum);
}

TEST(PackIntervalsTest, NothingTakesNothing) {
  std::vector<Interval> none;
  EXPECT_EQ(PackIntervals(&none), 0u);
}

}  // namespace
}  // namespace millrace
