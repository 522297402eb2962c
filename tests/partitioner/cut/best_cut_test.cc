// Cuts over all orders of small random graphs, with pins, memory and devices that differ, against every cut there is.
#include "partitioner/cut/best_cut.h"

#include <algorithm>
#include <functional>
#include <random>

#include "gtest/gtest.h"
#include "partitioner/cut/step_cut.h"
#include "partitioner/schedule/make_schedule.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

double LinkSeconds(uint64_t bytes) { return 1 + static_cast<double>(bytes); }

// Whole numbers, so that sums are exact and ties are ties.
Chain RandomGraph(std::mt19937& random, int units, int devices) {
  Chain chain;
  chain.before.resize(units);
  for (int u = 0; u < units; ++u) {
    ChainUnit& unit = chain.units.emplace_back();
    for (int d = 0; d < devices; ++d) {
      unit.forward.push_back(random() % 20);
      unit.backward.push_back(random() % 20);
      unit.weight.push_back(random() % 5);
    }
    unit.parameter_bytes = random() % 10;
    unit.stash_bytes = random() % 10;
    for (int b = 0; b < u; ++b) {
      if (random() % 3 == 0) chain.before[u].push_back(b);
    }
  }
  for (int t = 0; t < units; ++t) {
    ChainTensor tensor{.bytes = random() % 8};
    for (int k = 0; k < 3; ++k) tensor.units.push_back(static_cast<int>(random() % units));
    std::sort(tensor.units.begin(), tensor.units.end());
    tensor.units.erase(std::unique(tensor.units.begin(), tensor.units.end()), tensor.units.end());
    if (tensor.units.size() > 1) chain.tensors.push_back(std::move(tensor));
  }
  return chain;
}

CutRules RandomRules(std::mt19937& random, const Chain& chain, int stages, int devices) {
  CutRules rules;
  rules.link_seconds = LinkSeconds;
  for (int s = 0; s < stages; ++s) rules.device_of_stage.push_back(static_cast<int>(random() % devices));
  if (random() % 2 == 0) {
    rules.pinned.assign(chain.units.size(), -1);
    for (int& pin : rules.pinned) {
      if (random() % 4 == 0) pin = static_cast<int>(random() % stages);
    }
  }
  if (random() % 2 == 0) {
    for (int s = 0; s < stages; ++s) {
      rules.memory.push_back({double(random() % 5), 3, double(stages - s), 20 + double(random() % 60)});
    }
  }
  return rules;
}

struct Weight {
  double slowest = 0, bytes = 0;
  bool operator<(const Weight& other) const {
    return slowest != other.slowest ? slowest < other.slowest : bytes < other.bytes;
  }
  bool operator==(const Weight& other) const = default;
};

// By the rules alone; kNever where one is broken.
Weight Weigh(const Chain& chain, const CutRules& rules, const std::vector<int>& stage_of) {
  const int stages = static_cast<int>(rules.device_of_stage.size());
  const Weight broken = {kNever, kNever};
  std::vector<double> seconds(stages, 0), memory(stages, 0);
  std::vector<int> count(stages, 0);
  for (size_t s = 0; s < rules.memory.size(); ++s) memory[s] = rules.memory[s].fixed;
  for (size_t u = 0; u < stage_of.size(); ++u) {
    const int s = stage_of[u];
    for (int b : chain.before[u]) {
      if (stage_of[b] > s) return broken;
    }
    if (!rules.pinned.empty() && rules.pinned[u] >= 0 && rules.pinned[u] != s) return broken;
    seconds[s] += chain.Seconds(static_cast<int>(u), rules.device_of_stage[s]);
    if (!rules.memory.empty()) {
      memory[s] += rules.memory[s].per_parameter_byte * static_cast<double>(chain.units[u].parameter_bytes) +
                   rules.memory[s].in_flight * static_cast<double>(chain.units[u].stash_bytes);
    }
    ++count[s];
  }
  Weight weight;
  for (const ChainTensor& tensor : chain.tensors) {
    std::vector<int> touched;
    for (int u : tensor.units) touched.push_back(stage_of[u]);
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    if (touched.size() < 2) continue;
    for (int s : touched) seconds[s] += LinkSeconds(tensor.bytes);
    weight.bytes += static_cast<double>(tensor.bytes * touched.size());
  }
  for (int s = 0; s < stages; ++s) {
    if (count[s] == 0 || (!rules.memory.empty() && memory[s] > rules.memory[s].limit)) return broken;
    weight.slowest = std::max(weight.slowest, seconds[s]);
  }
  return weight;
}

Weight BruteForce(const Chain& chain, const CutRules& rules) {
  Weight best = {kNever, kNever};
  std::vector<int> stage_of(chain.units.size(), 0);
  const std::function<void(size_t)> place = [&](size_t u) {
    if (u == stage_of.size()) {
      best = std::min(best, Weigh(chain, rules, stage_of));
      return;
    }
    for (stage_of[u] = 0; stage_of[u] < static_cast<int>(rules.device_of_stage.size()); ++stage_of[u]) place(u + 1);
  };
  place(0);
  return best;
}

TEST(BestCutTest, NoCutIsBetter) {
  std::mt19937 random(1);
  int possible = 0, impossible = 0, out_of_order = 0;
  for (int round = 0; round < 3000; ++round) {
    const int units = 1 + static_cast<int>(random() % 7), stages = 1 + static_cast<int>(random() % std::min(units, 4));
    const Chain chain = RandomGraph(random, units, 2);
    const CutRules rules = RandomRules(random, chain, stages, 2);
    const Weight best = BruteForce(chain, rules);
    for (const CutSearch search : {CutSearch::kExact, CutSearch::kDefault}) {
      const auto cut = BestCut(chain, rules, search);
      if (best.slowest == kNever) {
        EXPECT_EQ(cut.status().code(), absl::StatusCode::kFailedPrecondition) << cut.status();
        continue;
      }
      ASSERT_TRUE(cut.ok()) << cut.status();
      EXPECT_TRUE(cut->exact);
      const Weight weight = Weigh(chain, rules, cut->stage_of_unit);
      ASSERT_EQ(weight.slowest, best.slowest) << "round " << round;
      ASSERT_EQ(weight.bytes, best.bytes) << "round " << round;
      out_of_order += !std::is_sorted(cut->stage_of_unit.begin(), cut->stage_of_unit.end());
    }
    ++(best.slowest == kNever ? impossible : possible);
  }
  EXPECT_GT(possible, 1000);
  EXPECT_GT(impossible, 300);
  EXPECT_GT(out_of_order, 300);
}

TEST(BestCutTest, OrderOfStagesMakesTheCutContiguous) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    Chain chain = RandomGraph(random, 8, 1);
    for (int n = 0; n < 20; ++n) chain.unit_of_node.push_back(static_cast<int>(random() % 8));
    CutRules rules;
    rules.device_of_stage = {0, 0, 0};
    rules.link_seconds = LinkSeconds;
    const auto cut = BestCut(chain, rules, CutSearch::kExact);
    ASSERT_TRUE(cut.ok()) << cut.status();
    const OrderedCut ordered = InOrderOfStages(chain, cut->stage_of_unit);
    ASSERT_EQ(ordered.cut.first_unit.size(), 3u);
    EXPECT_EQ(Weigh(ordered.chain, rules, StagesOfUnits(ordered.chain, ordered.cut)),
              Weigh(chain, rules, cut->stage_of_unit));
    const std::vector<int> stage_of_node = StagesOfNodes(ordered.chain, ordered.cut);
    for (int n = 0; n < 20; ++n) EXPECT_EQ(stage_of_node[n], cut->stage_of_unit[chain.unit_of_node[n]]);
    for (size_t u = 0; u < ordered.chain.before.size(); ++u) {
      for (int b : ordered.chain.before[u]) EXPECT_LT(b, static_cast<int>(u));
    }
  }
}

TEST(BestCutTest, SmallestTakesTheLeastShareOfMemory) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    Chain chain = RandomGraph(random, 6, 1);
    chain.before.clear();  // one order
    CutRules rules = RandomRules(random, chain, 3, 1);
    rules.pinned.clear();
    rules.memory.assign(3, {.per_parameter_byte = 1, .in_flight = 2, .limit = 1 + double(random() % 100)});
    const auto share = [&](int a, int b) {
      double most = 0;
      for (int s = 0; s < 3; ++s) {
        double bytes = 0;
        for (int u = s == 0 ? 0 : s == 1 ? a : b; u < (s == 0 ? a : s == 1 ? b : 6); ++u) {
          bytes += double(chain.units[u].parameter_bytes) + 2 * double(chain.units[u].stash_bytes);
        }
        most = std::max(most, bytes / rules.memory[s].limit);
      }
      return most;
    };
    double best = kNever;
    for (int a = 1; a < 5; ++a) {
      for (int b = a + 1; b < 6; ++b) best = std::min(best, share(a, b));
    }
    const auto cut = BestCut(chain, rules, CutSearch::kSmallest);
    ASSERT_TRUE(cut.ok()) << cut.status();
    const OrderedCut ordered = InOrderOfStages(chain, cut->stage_of_unit);
    EXPECT_DOUBLE_EQ(share(ordered.cut.first_unit[1], ordered.cut.first_unit[2]), best);
  }
}

TEST(BestCutTest, ManyDownSetsAreRefusedByTheExactSearchOnly) {
  Chain chain;
  for (int u = 0; u < 40; ++u) chain.units.push_back({"", {1.0 + u % 5}, {0}, {0}, 0, 0});
  chain.before.resize(40);
  CutRules rules;
  rules.device_of_stage = {0, 0, 0, 0};
  rules.link_seconds = [](uint64_t) { return 0.0; };
  const auto exact = BestCut(chain, rules, CutSearch::kExact);
  EXPECT_EQ(exact.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(exact.status().message().find("more than 200000 down-sets"), absl::string_view::npos) << exact.status();
  const auto found = BestCut(chain, rules, CutSearch::kDefault);
  ASSERT_TRUE(found.ok()) << found.status();
  std::vector<double> seconds(4, 0);
  for (int u = 0; u < 40; ++u) seconds[found->stage_of_unit[u]] += 1 + u % 5;
  EXPECT_EQ(*std::max_element(seconds.begin(), seconds.end()), 30);  // 120 over four
}

Schedule ScheduleFor(const std::string& kind, int ranks, int micro_batches) {
  ScheduleRequest request;
  request.kind = kind;
  request.ranks = ranks;
  request.micro_batches = micro_batches;
  return MakeSchedule(request).value();
}

// The steps of all cuts into runs of the chain's units.
double ShortestStep(const Chain& chain, const CutRules& rules, const Schedule& schedule) {
  double best = kNever;
  const int units = static_cast<int>(chain.units.size());
  Cut cut{{0}};
  const std::function<void()> extend = [&] {
    if (static_cast<int>(cut.first_unit.size()) == schedule.stages) {
      best = std::min(best, SimulateSchedule(schedule, CostsOfStages(chain, cut, rules))->makespan);
      return;
    }
    for (int u = cut.first_unit.back() + 1; u < units; ++u) {
      cut.first_unit.push_back(u);
      extend();
      cut.first_unit.pop_back();
    }
  };
  extend();
  return best;
}

TEST(StepCutTest, NeverLongerAndMostlyTheShortest) {
  std::mt19937 random(4);
  int shorter = 0, shortest = 0;
  constexpr int kRounds = 60;
  for (int round = 0; round < kRounds; ++round) {
    Chain chain;
    for (int u = 0; u < 12; ++u) {
      const double t = 1.0 + random() % 9;
      chain.units.push_back({"", {t}, {t + random() % 3}, {random() % 2 * t}, 0, 0});
    }
    for (int u = 1; u < 12; ++u) chain.tensors.push_back({random() % 3, {u - 1, u}});
    CutRules rules;
    rules.device_of_stage = {0, 1, 2, 3};
    for (ChainUnit& unit : chain.units) {
      for (auto* phase : {&unit.forward, &unit.backward, &unit.weight}) phase->assign(4, (*phase)[0]);
    }
    rules.link_seconds = [](uint64_t bytes) { return 0.1 * static_cast<double>(bytes); };
    const Schedule schedule = ScheduleFor(round % 2 == 0 ? "1f1b" : "zb-h1", 4, 6);
    const auto found = BestCut(chain, rules, CutSearch::kDefault);
    ASSERT_TRUE(found.ok());
    const Cut cut = InOrderOfStages(chain, found->stage_of_unit).cut;
    const auto step = ImproveStep(chain, cut, rules, schedule);
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_LE(step->seconds, step->before);
    EXPECT_DOUBLE_EQ(step->before, SimulateSchedule(schedule, CostsOfStages(chain, cut, rules))->makespan);
    EXPECT_DOUBLE_EQ(step->seconds, SimulateSchedule(schedule, CostsOfStages(chain, step->cut, rules))->makespan);
    const double best = ShortestStep(chain, rules, schedule);
    EXPECT_GE(step->seconds, best * (1 - 1e-9));
    shorter += step->seconds < step->before;
    shortest += step->seconds <= best * (1 + 1e-3);
  }
  EXPECT_GE(shorter, kRounds / 4);
  EXPECT_GE(shortest, kRounds * 3 / 4);
}

// The cut with the fastest slowest stage takes 276 units of time for six micro-batches by ZB-H1, another one 250: its
// slowest stage is slower, but has weight gradients to do where the others would make it wait.
TEST(StepCutTest, TheBottleneckIsNotTheStep) {
  const double forward[] = {6, 4, 4, 2, 3, 4, 7, 4, 3, 1, 8, 2}, backward[] = {7, 4, 6, 2, 3, 5, 7, 4, 5, 1, 9, 4},
               weight[] = {0, 0, 0, 0, 3, 4, 0, 4, 3, 0, 0, 0};
  const uint64_t bytes[] = {0, 0, 2, 0, 0, 1, 1, 0, 1, 2, 1};
  Chain chain;
  for (int u = 0; u < 12; ++u) chain.units.push_back({"", {forward[u]}, {backward[u]}, {weight[u]}, 0, 0});
  for (int u = 1; u < 12; ++u) chain.tensors.push_back({bytes[u - 1], {u - 1, u}});
  CutRules rules;
  rules.device_of_stage = {0, 0, 0, 0};
  rules.link_seconds = [](uint64_t bytes) { return 0.1 * static_cast<double>(bytes); };
  const auto found = BestCut(chain, rules, CutSearch::kExact);
  ASSERT_TRUE(found.ok()) << found.status();
  const Cut cut = InOrderOfStages(chain, found->stage_of_unit).cut;
  const Schedule schedule = ScheduleFor("zb-h1", 4, 6);
  const auto step = ImproveStep(chain, cut, rules, schedule);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_NEAR(step->before, 276, 1e-9);
  EXPECT_NEAR(step->seconds, 250, 1e-9);
  EXPECT_NEAR(ShortestStep(chain, rules, schedule), 250, 1e-9);
  const auto slowest = [&](const Cut& some) {
    double most = 0;
    for (size_t s = 0; s < 4; ++s) {
      const int end = s + 1 < 4 ? some.first_unit[s + 1] : 12;
      most = std::max(most, WeighStage(chain, some.first_unit[s], end, 0, rules.link_seconds).seconds);
    }
    return most;
  };
  EXPECT_LT(slowest(cut), slowest(step->cut));
}

TEST(StepCutTest, KeepsPinsAndMemory) {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    Chain chain = RandomGraph(random, 8, 1);
    chain.before.clear();
    for (int u = 1; u < 8; ++u) chain.before.resize(8), chain.before[u] = {u - 1};
    CutRules rules = RandomRules(random, chain, 3, 1);
    const auto found = BestCut(chain, rules, CutSearch::kExact);
    if (!found.ok()) continue;
    const auto step =
        ImproveStep(chain, InOrderOfStages(chain, found->stage_of_unit).cut, rules, ScheduleFor("1f1b", 3, 4));
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_LT(Weigh(chain, rules, StagesOfUnits(chain, step->cut)).slowest, kNever);
  }
}

}  // namespace
}  // namespace millrace
