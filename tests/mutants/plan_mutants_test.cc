// Mutants of whole plans: what VerifyPlan accepts, the worker trains to the bits of one stage, with random delays too;
// what it refuses is counted by rule. An accepted mutant that hangs or trains to other bits is a hole in the verifier.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/mutants/base_schedules.h"
#include "tests/mutants/mutate_plan.h"
#include "tests/parity/faulty_device.h"

namespace millrace {
namespace {

constexpr int kSteps = 2;
constexpr int kDelayedRuns = 2;

std::string RuleOf(const absl::Status& status) {
  const std::string message(status.message());
  return message.rfind("rule ", 0) != 0 ? message : message.substr(5, message.find(':') - 5);
}

// The number that follows `before` in a message.
std::optional<uint64_t> NumberAfter(const std::string& message, const std::string& before) {
  const size_t at = message.find(before);
  uint64_t number = 0;
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + before.size();
  const std::string digits = message.substr(begin, message.find_first_not_of("0123456789", begin) - begin);
  if (!absl::SimpleAtoi(digits, &number)) return std::nullopt;
  return number;
}

// VerifyPlan, where the claimed bytes follow the change: they are the last thing that is checked of a rank, and a
// mutant refused for them alone says nothing about the other rules.
absl::Status VerifyWithClaims(proto::ExecutionPlan* plan) {
  absl::Status status = VerifyPlan(*plan);
  for (int tries = 0; tries < plan->ranks_size() && RuleOf(status) == "live-bytes"; ++tries) {
    const std::string message(status.message());
    const auto rank = NumberAfter(message, "rank ");
    const auto bytes = NumberAfter(message, "by its list they are ");
    if (!rank.has_value() || !bytes.has_value()) return status;
    plan->mutable_programs(0)->mutable_ranks(*rank)->set_largest_live_bytes(*bytes);
    SealPlan(plan);
    status = VerifyPlan(*plan);
  }
  return status;
}

// One kernel call in eight is followed by up to a fifth of a millisecond of sleep.
void DelayNowAndThen(const OpDesc&, const KernelArgs&) {
  static std::atomic<uint64_t> threads{0};
  thread_local std::mt19937_64 random(++threads);
  if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
}

RunOptions Watched(bool delayed) {
  RunOptions run = MutantRun(kSteps);
  run.poison = true;
  run.communication.terminate_after = absl::Seconds(60);  // a hang; runs take milliseconds
  if (!delayed) return run;
  run.open_device = [](absl::string_view kind, int rank, const DeviceOptions& options) {
    return FaultyOn(rank, "", DelayNowAndThen)(kind, rank, options);
  };
  return run;
}

class Battery {
 public:
  explicit Battery(std::string model) : model_(std::move(model)) {}

  void Run(const BaseSchedule& base, const std::string& recompute, int mutants, uint64_t seed) {
    PartitionOptions options = MutantOptions(static_cast<int>(base.schedule.ranks.size()), base.schedule.micro_batches);
    options.custom_schedule = base.schedule;
    options.recompute = recompute;
    const auto plan = PlanFor(MutantModel(model_), options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    wanted_ = OneStage(model_, base.schedule.micro_batches, kSteps);
    Mutate(*plan, base.name, mutants, seed);
  }

  // Two replicas, or with `stage_replicas` as many of each stage as they say. `chunks` stages on a rank.
  void RunReplicas(int level, int pp, int chunks, const std::vector<int>& stage_replicas, int mutants, uint64_t seed) {
    PartitionOptions options = MutantOptions(stage_replicas.empty() ? pp * 2 : 4, stage_replicas.empty() ? 4 : 6);
    options.pp = pp;
    options.dp = stage_replicas.empty() ? 2 : 1;
    options.stage_replicas = stage_replicas;
    options.shard_optimizer = level;
    options.bucket_bytes = 512;
    options.cut = "balanced";
    options.schedule = chunks > 1 ? "interleaved" : "1f1b";
    options.chunks = chunks > 1 ? chunks : 0;
    const auto plan = PlanFor(MutantModel(model_), options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    auto wanted = RunPlan(*plan, MutantRun(kSteps));
    ASSERT_TRUE(wanted.ok()) << wanted.status();
    wanted_ = *std::move(wanted);
    Mutate(*plan,
           absl::StrCat("level ", level, ", pp ", pp, ", ", chunks, " chunks, ", stage_replicas.size(), " numbers"),
           mutants, seed);
  }

  // Changes by verdict, then rules by mutants.
  std::string Table() const {
    std::string text = "| change | mutants | accepted | refused by rule |\n";
    std::map<std::string, int> rules;
    for (const auto& [change, by_rule] : counts_) {
      int all = 0;
      std::string refused;
      for (const auto& [rule, n] : by_rule) {
        all += n;
        rules[rule.empty() ? "(accepted)" : rule] += n;
        if (!rule.empty()) absl::StrAppend(&refused, refused.empty() ? "" : ", ", rule, " ", n);
      }
      const auto accepted = by_rule.find("");
      absl::StrAppend(&text, "| ", change, " | ", all, " | ", accepted == by_rule.end() ? 0 : accepted->second, " | ",
                      refused, " |\n");
    }
    absl::StrAppend(&text, "\n");
    for (const auto& [rule, n] : rules) absl::StrAppend(&text, "| ", rule, " | ", n, " |\n");
    return text;
  }

  int accepted() const { return accepted_; }
  int refused() const {
    int refused = 0;
    for (const auto& [change, by_rule] : counts_) {
      for (const auto& [rule, n] : by_rule) refused += rule.empty() ? 0 : n;
    }
    return refused;
  }

 private:
  void Mutate(const proto::ExecutionPlan& plan, const std::string& name, int mutants, uint64_t seed) {
    what_ = absl::StrCat(model_, ", ", name, ", unchanged");
    RunAccepted(plan);
    for (int i = 0; i < mutants && !testing::Test::HasFatalFailure(); ++i) {
      PlanMutant mutant = MutatePlan(plan, seed + i);
      what_ = absl::StrCat(model_, ", ", name, ", seed ", seed + i, ", ", mutant.what);
      const absl::Status status = VerifyWithClaims(&mutant.plan);
      const std::string rule = status.ok() ? "" : RuleOf(status);
      ++counts_[mutant.changes > 1 ? "(two changes)" : NameOf(mutant.change)][rule];
      if (status.ok()) RunAccepted(mutant.plan);
    }
  }

  void RunAccepted(const proto::ExecutionPlan& plan) {
    ++accepted_;
    for (int run = 0; run <= kDelayedRuns; ++run) {
      const auto result = RunPlan(plan, Watched(run > 0));
      ASSERT_TRUE(result.ok()) << what_ << ": " << result.status();
      ASSERT_EQ(DifferenceOf(*result, wanted_), "") << what_ << ", run " << run;
    }
  }

  const std::string model_;
  RunResult wanted_;
  int accepted_ = 0;
  std::string what_;
  std::map<std::string, std::map<std::string, int>> counts_;  // by change, by rule; "": accepted
};

void RunBattery(const std::string& model, const std::vector<std::string>& kinds, const std::vector<int>& ps,
                int mutants) {
  Battery battery(model);
  uint64_t seed = model == "gpt2" ? 5000000 : 6000000;
  for (const std::string& kind : kinds) {
    for (int p : ps) {
      battery.Run(MakeBase(kind, p), "none", mutants, seed += 10000);
      // Activations made again inside B, where the schedule does not place R itself.
      if (kind != "recompute") battery.Run(MakeBase(kind, p), "all", mutants / 2, seed += 10000);
    }
  }
  std::cout << battery.Table() << std::endl;
  EXPECT_GT(battery.accepted(), 0);
  EXPECT_GT(battery.refused(), battery.accepted());
}

TEST(PlanMutants, Gpt2) { RunBattery("gpt2", {"1f1b", "zb-h1", "recompute"}, {2, 3}, 80); }
TEST(PlanMutants, Llama) { RunBattery("llama", {"interleaved", "zb-v"}, {2}, 80); }
// What replicas do together: the bits are those of the plan as it was, which the parity tests compare.
void RunReplicaBattery(int mutants) {
  Battery battery("llama"), tied("gpt2");
  uint64_t seed = 7000000;
  for (const int level : {0, 1, 2, 3}) {
    battery.RunReplicas(level, 1, 4, {}, mutants, seed += 10000);
    battery.RunReplicas(level, 2, 1, {}, mutants, seed += 10000);
    battery.RunReplicas(level, 2, 1, {3, 1}, mutants / 2, seed += 10000);
    tied.RunReplicas(level, 2, 1, {3, 1}, mutants / 4, seed += 10000);
    tied.RunReplicas(level, 2, 1, {1, 3}, mutants / 4, seed += 10000);
  }
  std::cout << battery.Table() << "\nTied weights:\n" << tied.Table() << std::endl;
  EXPECT_GT(tied.accepted(), 0);
  EXPECT_GT(battery.accepted(), 0);
  EXPECT_GT(battery.refused(), battery.accepted());
}

TEST(PlanMutants, Replicas) { RunReplicaBattery(40); }
TEST(PlanMutants, LongReplicas) { RunReplicaBattery(400); }
TEST(PlanMutants, LongGpt2) { RunBattery("gpt2", BaseKinds(), {2, 3, 4}, 100); }
TEST(PlanMutants, LongLlama) { RunBattery("llama", BaseKinds(), {2, 3, 4}, 100); }

}  // namespace
}  // namespace millrace
