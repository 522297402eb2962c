#include "tools/gpu_check/figures.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "kernels/op_rules.h"
#include "kernels/reference/reference.h"

namespace millrace {
namespace {

// Nobody runs them before a GPU is at hand: they are at least calls that the rules allow.
TEST(Figures, EveryMeasuredCallIsOneThatTheRulesAllow) {
  std::set<std::string> names;
  for (const Measured& measured : WhatIsMeasured()) {
    EXPECT_EQ(CheckOp(measured.desc), absl::OkStatus()) << measured.name;
    EXPECT_TRUE(names.insert(measured.name).second) << measured.name << " is there twice";
  }
  EXPECT_GT(names.size(), 30);
}

TEST(Figures, ACallIsTimed) {
  const auto device = OpenReference({});
  const TensorSpec x = {proto::F32, {100}};
  const absl::StatusOr<double> seconds = SecondsPerCall(**device, {"Add", {x, x}, {x}, {}});
  ASSERT_TRUE(seconds.ok()) << seconds.status();
  EXPECT_GT(*seconds, 0);
  EXPECT_LT(*seconds, 1);
}

TEST(Figures, WhatABackendLacksIsAnErrorWithItsName) {
  const auto device = OpenReference({});
  const TensorSpec x = {proto::F32, {100}};
  const absl::Status status = SecondsPerCall(**device, {"Fold", {x}, {x}, {}}).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("Fold"), std::string::npos) << status;
}

}  // namespace
}  // namespace millrace
