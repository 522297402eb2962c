#include "runtime/job/parity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "runtime/job/job_config.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/sample.h"
#include "runtime/plan/plan.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

proto::ExecutionPlan Plan(int ranks) {
  proto::ExecutionPlan plan = ToyPlan({.stages = 4, .ranks = ranks});
  SealPlan(&plan);
  return plan;
}

ParityOptions Options() {
  ParityOptions options;
  options.steps = 2;
  options.open_device = [](absl::string_view, int, const DeviceOptions&) {
    return absl::StatusOr<std::unique_ptr<Device>>(std::make_unique<ToyDevice>());
  };
  return options;
}

TEST(UlpDistance, CountsRepresentableNumbers) {
  EXPECT_EQ(UlpDistance(1.0f, 1.0f), 0u);
  EXPECT_EQ(UlpDistance(1.0f, std::nextafter(1.0f, 2.0f)), 1u);
  EXPECT_EQ(UlpDistance(std::nextafter(1.0f, 2.0f), std::nextafter(1.0f, 0.0f)), 2u);
  EXPECT_EQ(UlpDistance(0.0f, -0.0f), 1u);
  EXPECT_EQ(UlpDistance(-1.0, 1.0), UlpDistance(1.0, -1.0));
  EXPECT_EQ(UlpDistance(std::numeric_limits<float>::denorm_min(), -std::numeric_limits<float>::denorm_min()), 3u);
  EXPECT_EQ(UlpDistance(NAN, 1.0f), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(UlpDistance(NAN, NAN), 0u);
}

TEST(Parity, EqualPlansAreEqual) {
  const auto report = CompareParity(Plan(4), Plan(1), DefaultJobConfig(), Options());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->equal()) << report->ToString();
  EXPECT_EQ(report->tensors, 4u * 2 + 4 + 3 * 2);  // gradients of two steps, weights, loss, count and norm
  EXPECT_THAT(report->ToString(), HasSubstr("equal, bit for bit"));
  EXPECT_TRUE(CheckParity(Plan(2), Plan(1), DefaultJobConfig(), Options()).ok());
}

TEST(Parity, ADifferenceIsNamed) {
  proto::ExecutionPlan other = Plan(2);
  other.mutable_parameters(2)->mutable_initializer()->set_scale(0.2500001);
  SealPlan(&other);
  const auto report = CompareParity(Plan(1), other, DefaultJobConfig(), Options());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->equal());
  EXPECT_THAT(report->ToString(), HasSubstr("gradient of step 1, weight2"));
  EXPECT_THAT(report->ToString(), HasSubstr("ULPs; first at"));
  EXPECT_EQ(report->differences[0].what, "loss of step 1");
  EXPECT_EQ(report->differences.back().what, "weight after step 2");
  const absl::Status status = CheckParity(Plan(1), other, DefaultJobConfig(), Options());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
}

TEST(Parity, RefusesPlansOfDifferentWork) {
  proto::ExecutionPlan other = Plan(1);
  other.set_model_hash("another");
  EXPECT_THAT(CheckParity(Plan(1), other, DefaultJobConfig(), Options()).message(), HasSubstr("the model"));
  other = ToyPlan({.stages = 4, .micro_batches = 3});
  EXPECT_THAT(CheckParity(Plan(1), other, DefaultJobConfig(), Options()).message(), HasSubstr("micro-batches"));
}

TEST(PlanFacts, OfTheToyPlan) {
  const proto::ExecutionPlan plan = Plan(2);
  EXPECT_FALSE(HasTokens(plan));
  EXPECT_EQ(TokensPerSample(plan), 1);
  EXPECT_EQ(VocabularyOf(plan), 5);
  EXPECT_EQ(StatePrefix("adamw", 1), "adamw.v/");
  EXPECT_EQ(StatePrefix("sgd", 0), "sgd.momentum/");
}

TEST(Sample, DrawsByTheSoftmax) {
  EXPECT_EQ(DrawFromScores({1, 5, 2}, 0, 0.99), 1);
  EXPECT_EQ(DrawFromScores({0, 0, 0, 0}, 1, 0.0), 0);
  EXPECT_EQ(DrawFromScores({0, 0, 0, 0}, 1, 0.26), 1);
  EXPECT_EQ(DrawFromScores({0, 0, 0, 0}, 1, 0.999), 3);
  EXPECT_EQ(DrawFromScores({1000, 0}, 0.1, 0.999999), 0);
  int ones = 0;
  for (int i = 0; i < 1000; ++i) ones += DrawFromScores({0, std::log(3.0)}, 1, i / 1000.0);
  EXPECT_EQ(ones, 750);
}

}  // namespace
}  // namespace millrace
