// What zero-bubble and V schedules save in real plans: the planned bytes of the stash, against 1F1B's.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "partitioner/graph/gpt2.h"
#include "runtime/plan/plan.h"
#include "tests/partitioner/lower/partitioning.h"

namespace millrace {
namespace {

constexpr int kRanks = 8, kMicroBatches = 32;

// GPT-2 whose layers divide evenly among 16 stages and whose token table is small beside them.
proto::Model Model(int64_t layers, int64_t width, int64_t context) {
  return MakeGpt2({.layers = layers, .heads = 4, .width = width, .vocabulary = 512, .context = context}).value();
}

PartitionOptions EvenInLayers(const std::string& kind, int layers, int chunks) {
  PartitionOptions options = OptionsFor(kRanks, kMicroBatches, kind);
  options.micro_batch = 1;
  options.with_eval = options.with_logits = false;
  options.cut = "by-hand";
  const int stages = kRanks * chunks;
  for (int s = 1; s < stages; ++s) options.cut_after.push_back(absl::StrCat("h.", s * layers / stages - 1, ".mlp.c_proj"));
  return options;
}

struct Stash {
  std::vector<uint64_t> ranks;
  uint64_t largest = 0, total = 0;
};

Stash StashOf(const proto::ExecutionPlan& plan) {
  Stash stash;
  for (const proto::RankProgram& rank : plan.programs(0).ranks()) {
    uint64_t bytes = 0;
    for (const proto::Pool& pool : rank.pools()) {
      const std::string& life = proto::Life_Name(pool.life());
      if (life.rfind("STASH_", 0) == 0) bytes += pool.stride() * pool.slots();
    }
    stash.ranks.push_back(bytes);
    stash.largest = std::max(stash.largest, bytes);
    stash.total += bytes;
  }
  return stash;
}

TEST(StashTest, Probe) {
  for (const auto& [layers, width, context] : {std::tuple(16, 64, 64), std::tuple(32, 64, 64), std::tuple(16,768,1024)}) {
    const proto::Model model = Model(layers, width, context);
    std::map<std::string, Stash> all;
    for (const std::string kind : {"1f1b", "zb-h1", "zb-h2", "zb-v", "v-half", "v-min", "interleaved", "dualpipev"}) {
      const bool v = kind != "1f1b" && kind.rfind("zb-h", 0) != 0;
      PartitionOptions options = EvenInLayers(kind, layers, v ? 2 : 1);
      options.dump = [&](absl::string_view pass, const std::string& text) {
        if (pass == "schedule") { FILE* f = fopen(absl::StrCat("/tmp/lower_", layers, "_", width, "_", kind, ".csv").c_str(), "w"); fputs(text.c_str(), f); fclose(f); }
      };
      const auto plan = Partition(model, options, MadeUpNeeds);
      ASSERT_TRUE(plan.ok()) << kind << plan.status();
      all[kind] = StashOf(*plan);
      const Stash& s = all[kind];
      std::printf("%d %s largest %.3f total %.3f bubble %.3f:", layers, kind.c_str(), double(s.largest) / all["1f1b"].largest,
                  double(s.total) / all["1f1b"].total, plan->programs(0).predicted_bubble());
      for (uint64_t b : s.ranks) std::printf(" %.3f", double(b) / all["1f1b"].largest);
      std::printf("\n");
      for (int r : {0, 1, 4,7}) {
        std::printf("  rank %d", r);
        for (const proto::Pool& pool : plan->programs(0).ranks(r).pools()) {
          std::printf(" [%s: %d x %.1f]", pool.name().c_str(), (int)pool.slots(), double(pool.stride()) / (4 * width * context));
        }
        std::printf("\n");
      }
    }
  }
}

}  // namespace
}  // namespace millrace
