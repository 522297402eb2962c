// Plans for small clusters: the best is the best of all tried, and mixed devices are used as they are.
#include "partitioner/search/plan_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "partitioner/graph/gpt2.h"
#include "runtime/plan/verify.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

proto::Model Gpt() {
  Gpt2Options options;
  options.layers = 4;
  options.heads = 4;
  options.width = 128;
  options.vocabulary = 512;
  options.context = options.sequence = 64;
  return *MakeGpt2(options);
}

PlanQuestion Question(int devices, int64_t batch, uint64_t memory) {
  PlanQuestion question;
  for (int d = 0; d < devices; ++d) {
    proto::ClusterDevice* device = question.options.cluster.add_devices();
    device->set_name("cpu:" + std::to_string(d));
    device->set_kind("cpu");
    device->set_flops_per_second(1e10);
    device->set_memory_bytes(memory);
  }
  question.global_batch = batch;
  return question;
}

const KernelNeedsFn kNothing = [](const OpDesc&) { return KernelNeeds(); };

TEST(PlanSearch, TheBestRunnableOfAllTried) {
  const proto::Model model = Gpt();
  const absl::StatusOr<PlanSearchAnswer> answer = SearchPlans(model, Question(4, 8, 0), kNothing);
  ASSERT_EQ(answer.status(), absl::OkStatus());
  EXPECT_EQ(VerifyPlan(answer->plan), absl::OkStatus());
  EXPECT_EQ(answer->plan.programs(0).predicted_seconds(), answer->ranked[0].seconds);
  EXPECT_GT(answer->ranked[0].ranks(), 1);
  EXPECT_GT(answer->ranked.size(), 12u);
  std::set<int> replicas;
  for (size_t i = 1; i < answer->ranked.size(); ++i) {
    EXPECT_GE(answer->ranked[i].seconds, answer->ranked[0].seconds);
    EXPECT_THAT(answer->ranked[i].lost, HasSubstr("slower"));
  }
  for (const PlanCandidate& candidate : answer->ranked) {
    replicas.insert(candidate.replicas);
    EXPECT_LE(candidate.ranks(), 4);
    EXPECT_EQ(candidate.replicas * candidate.micro_batch * candidate.micro_batches, 8);
  }
  EXPECT_EQ(replicas, (std::set<int>{1, 2, 4}));
}

TEST(PlanSearch, StateIsDividedWhereTheWholeDoesNotFit) {
  const proto::Model model = Gpt();
  PlanQuestion question = Question(2, 8, 0);
  question.fixed_pp = question.fixed_micro_batch = true;
  question.fixed_replicas = 2;
  const absl::StatusOr<PlanSearchAnswer> whole = SearchPlans(model, question, kNothing);
  ASSERT_EQ(whole.status(), absl::OkStatus());
  EXPECT_EQ(whole->ranked[0].shard_optimizer, 0);
  for (int d = 0; d < 2; ++d) {
    question.options.cluster.mutable_devices(d)->set_memory_bytes(whole->ranked[0].largest_arena - 4096);
  }
  const absl::StatusOr<PlanSearchAnswer> divided = SearchPlans(model, question, kNothing);
  ASSERT_EQ(divided.status(), absl::OkStatus());
  EXPECT_EQ(divided->ranked[0].shard_optimizer, 1);
  EXPECT_EQ(VerifyPlan(divided->plan), absl::OkStatus());
}

TEST(PlanSearch, SameQuestionSameAnswer) {
  const proto::Model model = Gpt();
  const PlanQuestion question = Question(3, 6, 0);
  EXPECT_EQ(SearchPlans(model, question, kNothing)->plan.hash(), SearchPlans(model, question, kNothing)->plan.hash());
}

TEST(PlanSearch, FastDevicesGetMore) {
  PlanQuestion question = Question(2, 8, 0);
  question.options.cluster.mutable_devices(1)->set_flops_per_second(4e10);
  question.options.pp = 2;
  question.fixed_pp = true;
  const absl::StatusOr<PlanSearchAnswer> answer = SearchPlans(Gpt(), question, kNothing);
  ASSERT_EQ(answer.status(), absl::OkStatus());
  size_t nodes[2] = {0, 0};
  for (const proto::StageProgram& stage : answer->plan.programs(0).stages()) {
    for (const proto::RankProgram& rank : answer->plan.programs(0).ranks()) {
      for (uint32_t own : rank.stages()) {
        if (own == stage.stage()) nodes[rank.rank()] += stage.nodes_size();
      }
    }
  }
  EXPECT_GT(nodes[1], nodes[0]);
}

TEST(PlanSearch, MemoryIsKept) {
  const proto::Model model = Gpt();
  const uint64_t whole = SearchPlans(model, Question(1, 8, 0), kNothing)->ranked[0].largest_arena;
  const absl::StatusOr<PlanSearchAnswer> answer = SearchPlans(model, Question(4, 8, whole / 3), kNothing);
  ASSERT_EQ(answer.status(), absl::OkStatus());
  EXPECT_LE(answer->ranked[0].largest_arena, whole / 3);
  EXPECT_FALSE(answer->refused.empty());
  EXPECT_EQ(SearchPlans(model, Question(2, 8, 1 << 16), kNothing).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(PlanSearch, NonsenseIsNamed) {
  EXPECT_THAT(SearchPlans(Gpt(), Question(2, 0, 0), kNothing).status().message(), HasSubstr("the global batch is 0"));
}

}  // namespace
}  // namespace millrace
