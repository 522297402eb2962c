// The better cut, where the truth is known: costs are made up, a trace is simulated from them, and what the search
// finds is held against every cut there is.
#include "tools/report/recut.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/local.h"
#include "partitioner/partition.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tools/report/costs.h"
#include "tools/report/explanation.h"

namespace millrace {
namespace {

using testing::HasSubstr;

proto::Model Gpt(int layers, int vocabulary) {
  return *MakeGpt2({.layers = layers, .heads = 2, .width = 16, .vocabulary = vocabulary, .context = 16, .dropout = 0});
}

proto::ExecutionPlan Plan(const proto::Model& model, const std::string& cut, int pp,
                          const std::string& schedule = "1f1b") {
  PartitionOptions options;
  options.cluster = LocalCluster("cpu", pp);
  options.pp = pp;
  options.micro_batch = 2;
  options.micro_batches = 6;
  options.cut = cut;
  options.schedule = schedule;
  absl::StatusOr<proto::ExecutionPlan> plan = Partition(model, options, *NeedsOf("cpu"));
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// What the plan would be measured to do if kernels cost `costs`.
proto::StepTrace Measure(const proto::ExecutionPlan& plan, const proto::CostTable& costs) {
  std::map<std::string, double> true_seconds;
  for (const proto::KernelCost& cost : costs.kernels()) true_seconds[cost.key()] = cost.seconds();
  proto::ExecutionPlan slower = plan;
  proto::Program& train = *slower.mutable_programs(0);
  for (proto::StageProgram& stage : *train.mutable_stages()) {
    // One call at a time: the key of a call is the only one in a plan that holds nothing else.
    for (proto::PhaseProgram& phase : *stage.mutable_phases()) {
      double change = 0;
      for (const proto::KernelCall& call : phase.calls()) {
        proto::ExecutionPlan single;
        proto::Program& program = *single.add_programs();
        program.set_name("train");
        proto::StageProgram& only = *program.add_stages();
        *only.mutable_values() = stage.values();
        *only.add_phases()->add_calls() = call;
        change += true_seconds.at(PlannedCosts(single)->kernels(0).key()) - call.seconds();
      }
      phase.set_seconds(phase.seconds() + change);
    }
  }
  for (proto::RankProgram& rank : *train.mutable_ranks()) {
    for (proto::Instruction& run : *rank.mutable_instructions()) {
      if (run.kind() != proto::Instruction::RUN) continue;
      for (const proto::PhaseProgram& phase : train.stages(run.stage()).phases()) {
        if (phase.phase() == run.phase()) run.set_seconds(phase.seconds());
      }
    }
  }
  proto::StepTrace trace = Simulate(slower, "train")->trace;
  trace.set_plan_hash(plan.hash());
  trace.set_predicted(false);
  return trace;
}

// Every key gets a factor of its own: operators of one kind are alike, large ones may be far off.
proto::CostTable OtherCosts(const proto::ExecutionPlan& plan, unsigned seed) {
  proto::CostTable costs = *PlannedCosts(plan);
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> factor(0.5, 3);
  for (proto::KernelCost& cost : *costs.mutable_kernels()) cost.set_seconds(cost.seconds() * factor(random));
  return costs;
}

TEST(Replanner, TheCostsOfAPlanGiveThatPlanAgain) {
  const proto::Model model = Gpt(3, 64);
  for (const std::string cut : {"even", "balanced"}) {
    for (const std::string schedule : {"1f1b", "zb-h1", "gpipe"}) {
      const proto::ExecutionPlan plan = Plan(model, cut, 3, schedule);
      absl::StatusOr<Replanner> replanner = Replanner::Make(plan, model, *PlannedCosts(plan));
      ASSERT_TRUE(replanner.ok()) << replanner.status();
      const absl::StatusOr<CutFigures> again = replanner->At(replanner->present());
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_NEAR(again->seconds, plan.programs(0).predicted_seconds(), 1e-9) << cut << " " << schedule;
      EXPECT_EQ(again->crossing, CrossingBytes(plan.programs(0)));
      if (cut == "balanced") EXPECT_EQ(*replanner->Balanced(), replanner->present());
    }
  }
}

TEST(Replanner, RefusesAnotherModel) {
  const proto::ExecutionPlan plan = Plan(Gpt(2, 64), "even", 2);
  EXPECT_EQ(Replanner::Make(plan, Gpt(2, 65), *PlannedCosts(plan)).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(MeasuredCosts, ExplainWhatWasMeasured) {
  const proto::Model model = Gpt(4, 400);
  const proto::ExecutionPlan plan = Plan(model, "even", 2);
  const proto::StepTrace measured = Measure(plan, OtherCosts(plan, 3));
  const absl::StatusOr<proto::CostTable> costs = MeasuredCosts(plan, measured);
  ASSERT_TRUE(costs.ok()) << costs.status();
  // The same cut, planned with these costs, takes what was measured.
  absl::StatusOr<Replanner> replanner = Replanner::Make(plan, model, *costs);
  ASSERT_TRUE(replanner.ok()) << replanner.status();
  const double again = replanner->At(replanner->present())->seconds;
  EXPECT_NEAR(again, measured.step_seconds(), 0.01 * measured.step_seconds());
  EXPECT_GT(std::abs(plan.programs(0).predicted_seconds() - measured.step_seconds()), 0.1 * measured.step_seconds());
}

TEST(FindBetterCut, IsNearTheBestOfAllByTheTruth) {
  const proto::Model model = Gpt(4, 1500);  // the output layer weighs as much as several blocks
  const proto::ExecutionPlan plan = Plan(model, "even", 2);
  for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
    const proto::CostTable truth = OtherCosts(plan, seed);
    const absl::StatusOr<Recut> recut =
        FindBetterCut(plan, model, *MeasuredCosts(plan, Measure(plan, truth)), {"model.pb", "new.pb"});
    ASSERT_TRUE(recut.ok()) << recut.status();
    EXPECT_TRUE(recut->all_tried);
    absl::StatusOr<Replanner> judge = Replanner::Make(plan, model, truth);
    double best = 1e9, proposed = 0;
    for (int unit = 1; unit < judge->units(); ++unit) {
      const double seconds = judge->At({0, unit})->seconds;
      best = std::min(best, seconds);
      if (judge->CutAfter({0, unit}) == recut->best_after) proposed = seconds;
    }
    const double present = judge->At(judge->present())->seconds;
    EXPECT_LE(proposed, 1.05 * best) << "seed " << seed << ", present " << present;
    EXPECT_LT(proposed, present);
    EXPECT_TRUE(recut->improves);
    EXPECT_THAT(recut->command, HasSubstr(absl::StrCat("--cut-after=", recut->best_after[0])));
  }
}

TEST(FindBetterCut, SaysWhenThePresentCutIsBest) {
  const proto::Model model = Gpt(4, 64);
  const proto::ExecutionPlan even = Plan(model, "even", 2);
  const absl::StatusOr<Recut> first = FindBetterCut(even, model, *PlannedCosts(even), {"m", "o"});
  ASSERT_TRUE(first.ok()) << first.status();
  PartitionOptions options = *OptionsOf(even);
  options.cut = "by-hand";
  options.cut_after = first->best_after;
  const proto::ExecutionPlan best = *Partition(model, options, *NeedsOf("cpu"));
  const absl::StatusOr<Recut> second = FindBetterCut(best, model, *PlannedCosts(best), {"m", "o"});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->improves);
  EXPECT_EQ(second->command, "");
}

TEST(FindBetterCut, ManyStagesAreSearchedNearTheBalancedCut) {
  const proto::Model model = Gpt(6, 64);
  const proto::ExecutionPlan plan = Plan(model, "even", 4);
  const absl::StatusOr<Recut> recut = FindBetterCut(plan, model, *PlannedCosts(plan), {"m", "o"});
  ASSERT_TRUE(recut.ok()) << recut.status();
  EXPECT_FALSE(recut->all_tried);
  EXPECT_LE(recut->best.seconds, recut->present.seconds);
  EXPECT_LE(recut->best.seconds, Plan(model, "balanced", 4).programs(0).predicted_seconds() + 1e-9);
  EXPECT_EQ(recut->best_after.size(), 3u);
}

TEST(FindBetterCut, SaysWhereACommandCannotBeWhole) {
  const proto::Model model = Gpt(4, 1500);
  proto::ExecutionPlan plan = Plan(model, "even", 2);
  plan.mutable_ranks(0)->set_memory_limit(uint64_t{1} << 40);  // not what --devices stands for
  const absl::StatusOr<Recut> recut = FindBetterCut(plan, model, *PlannedCosts(plan), {"a b.pb", "o"});
  ASSERT_TRUE(recut.ok()) << recut.status();
  EXPECT_THAT(recut->command, HasSubstr("millrace partition 'a b.pb' --cluster=FILE --pp=2 "));
  EXPECT_THAT(recut->remark, HasSubstr("cluster file"));
  plan.mutable_programs(0)->set_schedule("custom");
  const absl::StatusOr<Recut> custom = FindBetterCut(plan, model, *PlannedCosts(plan), {"m", "o"});
  ASSERT_TRUE(custom.ok()) << custom.status();
  EXPECT_EQ(custom->command, "");
  EXPECT_THAT(custom->remark, HasSubstr("no flag"));
  EXPECT_NEAR(custom->best.seconds, recut->best.seconds, 1e-9)
      << "the same lists, found by name or taken from the plan";
}

TEST(FindBetterCut, PassesOverWhatDoesNotFit) {
  const proto::Model model = Gpt(4, 1500);
  proto::ExecutionPlan plan = Plan(model, "even", 2);
  const absl::StatusOr<Recut> free = FindBetterCut(plan, model, *PlannedCosts(plan), {"m", "o"});
  ASSERT_TRUE(free.ok()) << free.status();
  for (proto::Rank& rank : *plan.mutable_ranks()) rank.set_memory_limit(free->best.largest_arena - 1);
  const absl::StatusOr<Recut> tight = FindBetterCut(plan, model, *PlannedCosts(plan), {"m", "o"});
  ASSERT_TRUE(tight.ok()) << tight.status();
  EXPECT_LT(tight->best.largest_arena, free->best.largest_arena);
  EXPECT_GE(tight->best.seconds, free->best.seconds);
}

TEST(CountCuts, IsABinomialCoefficient) {
  EXPECT_EQ(CountCuts(10, 2, 1000), 9);
  EXPECT_EQ(CountCuts(10, 3, 1000), 36);
  EXPECT_EQ(CountCuts(5, 5, 1000), 1);
  EXPECT_EQ(CountCuts(100, 8, 1000), 1001);
}

TEST(Explain, MovesEveryBoundaryBothWays) {
  const proto::Model model = Gpt(4, 64);
  const proto::ExecutionPlan plan = Plan(model, "even", 3);
  const absl::StatusOr<Explanation> explanation = Explain(plan, &model);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  ASSERT_TRUE(explanation->moves.ok()) << explanation->moves;
  ASSERT_EQ(explanation->boundaries.size(), 2u);
  absl::StatusOr<Replanner> replanner = Replanner::Make(plan, model, *PlannedCosts(plan));
  for (const Boundary& boundary : explanation->boundaries) {
    EXPECT_GT(boundary.forward_bytes, 0u);
    EXPECT_GT(boundary.link_seconds, 0);
    for (const auto& [by, move] : {std::pair(-1, boundary.earlier), std::pair(1, boundary.later)}) {
      std::vector<int> cut = replanner->present();
      cut[boundary.stage + 1] += by;
      EXPECT_DOUBLE_EQ(move.step_change, replanner->At(cut)->seconds - replanner->At(replanner->present())->seconds);
      EXPECT_EQ(move.ends_after, replanner->CutAfter(cut)[boundary.stage]);
    }
  }
  EXPECT_FALSE(explanation->limits.empty());
  const absl::StatusOr<Explanation> without = Explain(plan, nullptr);
  EXPECT_FALSE(without->moves.ok());
  const proto::Model other = Gpt(4, 65);
  EXPECT_EQ(Explain(plan, &other)->moves.code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Explain, NodesAddUpToTheStage) {
  const proto::Model model = Gpt(1, 64);
  const proto::ExecutionPlan plan = Plan(model, "balanced", 2);
  for (const StageFigures& stage : FiguresOfStages(plan, plan.programs(0))) {
    double sum = 0;
    for (const NodeShare& node : stage.largest) sum += node.seconds;
    EXPECT_LE(sum, stage.seconds() * (1 + 1e-9));
    EXPECT_GT(sum, 0.5 * stage.seconds());
    ASSERT_FALSE(stage.heaviest.empty());
    for (size_t n = 1; n < stage.heaviest.size(); ++n) {
      EXPECT_GE(stage.heaviest[n - 1].bytes(), stage.heaviest[n].bytes());
    }
  }
}

}  // namespace
}  // namespace millrace
