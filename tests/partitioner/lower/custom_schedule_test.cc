// Custom schedules, run: whatever the order of W and wherever the stages stand, a step gives the bits of one stage.
#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity/run_plan.h"
#include "tests/partitioner/lower/partitioning.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

constexpr int kMicroBatches = 3;

absl::StatusOr<RunResult> Train(const proto::Model& model, int pp, const std::string& csv,
                                PartitionOptions asked = {}) {
  PartitionOptions options = OptionsFor("reference", pp);
  options.micro_batch = 2;
  options.micro_batches = kMicroBatches;
  options.cut = "even";
  options.schedule = asked.schedule;
  options.recompute = asked.recompute;
  options.recompute_as = asked.recompute_as;
  options.recompute_segments = asked.recompute_segments;
  if (!csv.empty()) options.custom_schedule = Schedule::ParseCsv(csv).value();
  const auto plan = PlanFor(model, options);
  if (!plan.ok()) return plan.status();
  RunOptions run;
  run.device = "reference";
  run.steps = 2;
  run.load = RandomTokens(5);
  return RunPlan(*plan, run);
}

std::vector<NamedModel> Models() {
  return {{"ThreeReaders", ThreeReaders()}, {"TiedLayers", TiedLayers()},     {"Views", Views()},
          {"SkipNet", SkipNet()},           {"PartlyFrozen", PartlyFrozen()}, {"Gpt2Dropout", TinyGpt2(0.2)},
          {"LlamaTied", TinyLlama(2, true)}};
}

TEST(CustomScheduleTest, EveryScheduleGivesTheBitsOfOneStage) {
  const std::vector<NamedModel> models = Models();
  const std::vector<std::vector<int>> placements = {{0}, {0, 1}, {0, 1, 0}, {0, 1, 0, 1}, {0, 1, 1, 0}, {1, 2, 0}};
  for (const NamedModel& named : models) {
    const auto one = Train(named.model, 1, "");
    ASSERT_TRUE(one.ok()) << named.name << ": " << one.status();
    std::vector<std::pair<int, std::string>> schedules = {
        {2, "0F0,0F1,0BW0,0B1,0F2,0W1,0BW2\n1F0,1B0,1F1,1W0,1BW1,1F2,1B2,1W2\n"}};
    for (const std::vector<int>& placement : placements) {
      const int ranks = *std::max_element(placement.begin(), placement.end()) + 1;
      schedules.push_back({ranks, SplitBackward(placement, ranks, kMicroBatches).ToCsv()});
    }
    for (const auto& [ranks, csv] : schedules) {
      const auto many = Train(named.model, ranks, csv);
      ASSERT_TRUE(many.ok()) << named.name << ": " << many.status() << "\n" << csv;
      EXPECT_EQ(many->losses, one->losses) << named.name << "\n" << csv;
      EXPECT_EQ(many->norms, one->norms) << named.name << "\n" << csv;
      EXPECT_THAT(Differences(many->weights, one->weights), testing::IsEmpty()) << named.name << "\n" << csv;
    }
  }
}

// Views, skips, tied and frozen parameters across the borders of segments, and R's of stages that hold them.
TEST(CustomScheduleTest, RecomputationGivesTheBitsOfOneStage) {
  for (const NamedModel& named : Models()) {
    const auto one = Train(named.model, 1, "");
    ASSERT_TRUE(one.ok()) << named.name << ": " << one.status();
    for (const std::string kind : {"1f1b", "zb-h1", "v-min"}) {
      for (const int segments : {-1, 0, 1, 2, 3, 100}) {
        PartitionOptions options;
        options.schedule = kind;
        options.recompute = "all";
        options.recompute_as = segments < 0 ? "placed" : "inside";
        options.recompute_segments = std::max(0, segments);
        for (const int pp : {1, 2}) {
          const auto many = Train(named.model, pp, "", options);
          ASSERT_TRUE(many.ok()) << named.name << " " << kind << " " << segments << ": " << many.status();
          EXPECT_EQ(many->losses, one->losses) << named.name << " " << kind << " " << segments;
          EXPECT_EQ(many->norms, one->norms) << named.name << " " << kind << " " << segments;
          EXPECT_THAT(Differences(many->weights, one->weights), testing::IsEmpty())
              << named.name << " " << kind << " " << segments;
        }
      }
    }
  }
}

// Actions drawn at random among those whose inputs are there; W late or together with B as it comes.
Schedule RandomSchedule(std::mt19937& random, int stages, int ranks, int micro_batches) {
  Schedule schedule{.stages = stages, .micro_batches = micro_batches};
  schedule.ranks.resize(ranks);
  for (int s = 0; s < stages; ++s) {
    schedule.rank_of_stage.push_back(s < ranks ? s : static_cast<int>(random() % ranks));
  }
  std::shuffle(schedule.rank_of_stage.begin(), schedule.rank_of_stage.end(), random);
  std::vector<int> forward(stages, 0), backward(stages, 0), weight(stages, 0);  // next micro-batch
  int left = 3 * stages * micro_batches;
  while (left > 0) {
    const int s = static_cast<int>(random() % stages);
    std::vector<Action>& list = schedule.ranks[schedule.rank_of_stage[s]];
    switch (random() % 3) {
      case 0:
        if (forward[s] == micro_batches || (s > 0 && forward[s - 1] == forward[s])) break;
        list.push_back({s, proto::F, forward[s]++});
        --left;
        break;
      case 1: {
        const int m = backward[s];
        if (m == micro_batches || forward[stages - 1] <= m || (s + 1 < stages && backward[s + 1] <= m)) break;
        const bool joint = weight[s] == m && random() % 2 == 0;
        list.push_back({s, joint ? proto::BW : proto::B, m});
        ++backward[s], --left;
        if (joint) ++weight[s], --left;
        break;
      }
      default:
        if (weight[s] == backward[s]) break;
        list.push_back({s, proto::W, weight[s]++});
        --left;
    }
  }
  return schedule;
}

TEST(CustomScheduleTest, RandomSchedulesGiveTheBitsOfOneStage) {
  const std::vector<NamedModel> models = {{"ThreeReaders", ThreeReaders()},
                                          {"TiedLayers", TiedLayers()},
                                          {"Views", Views()},
                                          {"SkipNet", SkipNet()},
                                          {"LlamaTied", TinyLlama(2, true)}};
  std::mt19937 random(11);
  for (const NamedModel& named : models) {
    const auto one = Train(named.model, 1, "");
    ASSERT_TRUE(one.ok()) << named.name << ": " << one.status();
    for (int round = 0; round < 20; ++round) {
      const int stages = 1 + static_cast<int>(random() % 5);
      const int ranks = 1 + static_cast<int>(random() % std::min(stages, 3));
      const std::string csv = RandomSchedule(random, stages, ranks, kMicroBatches).ToCsv();
      const auto many = Train(named.model, ranks, csv);
      ASSERT_TRUE(many.ok()) << named.name << ": " << many.status() << "\n" << csv;
      EXPECT_EQ(many->losses, one->losses) << named.name << "\n" << csv;
      EXPECT_EQ(many->norms, one->norms) << named.name << "\n" << csv;
      EXPECT_THAT(Differences(many->weights, one->weights), testing::IsEmpty()) << named.name << "\n" << csv;
    }
  }
}

}  // namespace
}  // namespace millrace
