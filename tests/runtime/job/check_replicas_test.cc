// Replicas that hold different weights are found, and the one that drifted is named.
#include "runtime/job/check_replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/graph/gpt2.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<proto::ExecutionPlan> PlanOf(int pp, int dp) {
  Gpt2Options o;
  o.layers = 2;
  o.heads = 2;
  o.width = 16;
  o.vocabulary = 31;
  o.context = 8;
  const auto model = MakeGpt2(o);
  if (!model.ok()) return model.status();
  PartitionOptions options = OptionsFor("cpu", pp * dp);
  options.pp = pp;
  options.dp = dp;
  return PlanFor(*model, options);
}

TEST(CheckReplicas, EqualOnesPassAndAChangedBitIsFound) {
  for (const int dp : {2, 3}) {
    const auto plan = PlanOf(2, dp);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const auto ranks = Ranks::Start(*plan, {.seed = 3});
    ASSERT_TRUE(ranks.ok()) << ranks.status();
    ASSERT_TRUE((*ranks)->Each([](Seat& seat) { return seat.worker->InitializeParameters(); }).ok());
    EXPECT_TRUE(CheckReplicas(*plan, ranks->get()).ok());
    // The last rank: place 1 of the last replica.
    const int rank = plan->ranks_size() - 1;
    int p = 0;
    while (plan->parameters(p).places(0).rank() != 1) ++p;
    uint64_t elements = 1;
    for (int64_t d : plan->parameters(p).type().dims()) elements *= d;
    std::vector<float> values(elements);
    ASSERT_TRUE((*ranks)->worker(rank).ReadParameter(p, values.data(), elements * 4).ok());
    values[elements / 2] += 1e-6f;
    ASSERT_TRUE((*ranks)->worker(rank).WriteParameter(p, values.data(), elements * 4).ok());
    const absl::Status status = CheckReplicas(*plan, ranks->get());
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    if (dp == 2) {
      EXPECT_THAT(std::string(status.message()), HasSubstr("ranks 1 and 3 hold different weights"));
    } else {
      EXPECT_THAT(std::string(status.message()), HasSubstr("rank 5 has drifted"));
      EXPECT_THAT(std::string(status.message()), HasSubstr("those of ranks 1, 3"));
    }
  }
}

TEST(CheckReplicas, OnePipelineHasNobodyToCompareWith) {
  const auto plan = PlanOf(2, 1);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(CheckDigests(*plan, {"a", "b"}).ok());
}

}  // namespace
}  // namespace millrace
