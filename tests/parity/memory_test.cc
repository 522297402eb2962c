// The memory that a plan promises, with the needs of the real kernels: hardly more than what is alive at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"
#include "runtime/plan/plan.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

proto::Model ModelNamed(const std::string& name) {
  if (name == "gpt2") {
    return MakeGpt2({.layers = 6, .heads = 4, .width = 128, .vocabulary = 1000, .context = 64, .dropout = 0.1}).value();
  }
  if (name == "wide_gpt2") {
    return MakeGpt2({.layers = 4, .heads = 8, .width = 256, .vocabulary = 256, .context = 128}).value();
  }
  if (name == "llama") {
    return MakeLlama({.layers = 6, .heads = 4, .width = 128, .hidden = 344, .vocabulary = 1000, .context = 64}).value();
  }
  return MakeMlp({.layers = 6, .features = 64, .width = 256}).value();
}

class Memory : public testing::TestWithParam<std::string> {};

TEST_P(Memory, ArenaIsAtMostATenthMoreThanWhatIsAlive) {
  const proto::Model model = ModelNamed(GetParam());
  double worst = 0;
  for (int pp : {1, 2, 4}) {
    for (const std::string schedule : {"gpipe", "1f1b"}) {
      PartitionOptions options = OptionsFor("cpu", pp);
      options.micro_batch = 4;
      options.micro_batches = 8;
      options.schedule = schedule;
      const auto plan = PlanFor(model, options);
      ASSERT_TRUE(plan.ok()) << plan.status();
      const proto::Program* train = FindProgram(*plan, "train");
      for (const proto::Rank& rank : plan->ranks()) {
        const double alive = static_cast<double>(train->ranks(rank.rank()).largest_live_bytes());
        const double ratio = static_cast<double>(rank.arena_bytes()) / alive;
        worst = std::max(worst, ratio);
        EXPECT_LE(ratio, 1.1) << "pp " << pp << " " << schedule << " rank " << rank.rank();
        EXPECT_GE(ratio, 1.0) << "pp " << pp << " " << schedule << " rank " << rank.rank();
        std::printf("%s pp %d %s rank %u: arena %.2f MB, alive %.2f MB, ratio %.4f\n", GetParam().c_str(), pp,
                    schedule.c_str(), rank.rank(), rank.arena_bytes() / 1e6, alive / 1e6, ratio);
      }
    }
  }
  RecordProperty("worst_ratio", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Models, Memory, testing::Values("gpt2", "wide_gpt2", "llama", "mlp"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace millrace
