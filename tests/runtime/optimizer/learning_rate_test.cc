#include "runtime/optimizer/learning_rate.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

proto::LearningRate Rate(const char* schedule, uint64_t warmup, uint64_t decay) {
  proto::LearningRate rate;
  rate.set_schedule(schedule);
  rate.set_peak(1e-3);
  rate.set_minimum(1e-4);
  rate.set_warmup_steps(warmup);
  rate.set_decay_steps(decay);
  return rate;
}

TEST(LearningRate, WarmsUpToThePeak) {
  for (const char* schedule : {"cosine", "linear", "constant"}) {
    const proto::LearningRate rate = Rate(schedule, 4, 0);
    EXPECT_DOUBLE_EQ(LearningRateAt(rate, 0, 100), 0.25e-3);
    EXPECT_DOUBLE_EQ(LearningRateAt(rate, 1, 100), 0.5e-3);
    EXPECT_DOUBLE_EQ(LearningRateAt(rate, 3, 100), 1e-3);
    EXPECT_DOUBLE_EQ(LearningRateAt(rate, 4, 100), 1e-3);
  }
}

TEST(LearningRate, Cosine) {
  const proto::LearningRate rate = Rate("cosine", 10, 0);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 10, 110), 1e-3);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 35, 110), 1e-4 + 9e-4 * (1 + std::sqrt(0.5)) / 2);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 60, 110), 5.5e-4);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 110, 110), 1e-4);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 1000, 110), 1e-4);
}

TEST(LearningRate, Linear) {
  const proto::LearningRate rate = Rate("linear", 0, 50);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 0, 1000), 1e-3);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 25, 1000), 5.5e-4);
  EXPECT_DOUBLE_EQ(LearningRateAt(rate, 50, 1000), 1e-4);
}

TEST(LearningRate, ConstantNeverDecays) { EXPECT_DOUBLE_EQ(LearningRateAt(Rate("constant", 2, 5), 1000000, 10), 1e-3); }

TEST(LearningRate, AWarmUpLongerThanTheScheduleEndsAtItsMinimum) {
  EXPECT_DOUBLE_EQ(LearningRateAt(Rate("cosine", 10, 5), 9, 5), 1e-3);
  EXPECT_DOUBLE_EQ(LearningRateAt(Rate("cosine", 10, 5), 10, 5), 1e-4);
}

TEST(LearningRate, RefusesNonsense) {
  EXPECT_TRUE(CheckLearningRate(Rate("cosine", 1, 1)).ok());
  EXPECT_THAT(std::string(CheckLearningRate(Rate("step", 1, 1)).message()), testing::HasSubstr("cosine, linear"));
  proto::LearningRate rate = Rate("linear", 1, 1);
  rate.set_peak(-1);
  EXPECT_EQ(CheckLearningRate(rate).code(), absl::StatusCode::kInvalidArgument);
  rate.set_peak(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(CheckLearningRate(rate).code(), absl::StatusCode::kInvalidArgument);
  rate.set_peak(1);
  rate.set_minimum(std::numeric_limits<double>::infinity());
  EXPECT_EQ(CheckLearningRate(rate).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
