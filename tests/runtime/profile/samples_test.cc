#include "runtime/profile/samples.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(Samples, MedianAndQuartiles) {
  const Spread spread = SpreadOf({5, 1, 3, 2, 4});
  EXPECT_DOUBLE_EQ(spread.median, 3);
  EXPECT_DOUBLE_EQ(spread.range, 2);
  EXPECT_EQ(spread.samples, 5);
  EXPECT_DOUBLE_EQ(SpreadOf({1, 2}).median, 1.5);
  EXPECT_EQ(SpreadOf({}).samples, 0);
}

TEST(Samples, LineThroughTimes) {
  const LineFit fit = FitLine({{0, 2e-6}, {1e6, 102e-6}, {2e6, 202e-6}, {4e6, 402e-6}, {8e6, 0.5}});
  EXPECT_NEAR(fit.latency, 2e-6, 1e-7);
  EXPECT_NEAR(fit.rate, 1e10, 1e8);
}

TEST(Samples, NoLine) {
  EXPECT_EQ(FitLine({}).rate, 0);
  EXPECT_EQ(FitLine({{8, 1}}).rate, 0);
  EXPECT_EQ(FitLine({{8, 1}}).latency, 1);
  EXPECT_EQ(FitLine({{8, 2}, {16, 1}}).rate, 0);
}

}  // namespace
}  // namespace millrace
