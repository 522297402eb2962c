// Is the proof of schedules worth anything? Mutants of schedules of every kind, run for real: what VerifySchedule
// accepts trains to the bits of one stage, and what it refuses, run all the same by a worker that knows no rules,
// races, hangs or gives other bits, but for two classes that are told by rule (HarmlessByRule).
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/plan/schedule.h"
#include "tests/mutants/action_worker.h"
#include "tests/mutants/base_schedules.h"
#include "tests/mutants/mutate_schedule.h"

namespace millrace {
namespace {

constexpr int kSteps = 2;

// "deadlock" of "schedule: rule deadlock: ...", "accumulation-order" of "rule accumulation-order: ...".
std::string RuleOf(const absl::Status& status) {
  const std::string message(status.message());
  const size_t rule = message.find("rule ");
  return rule == std::string::npos ? message : message.substr(rule + 5, message.find(':', rule) - rule - 5);
}

bool InOrder(const std::vector<int>& terms, int micro_batches) {
  std::vector<int> all(micro_batches);
  std::iota(all.begin(), all.end(), 0);
  return terms == all;
}

// The order in which each stage adds into the sums of each kind of node: F (the loss and what is made with it), B, W.
std::vector<std::vector<int>> Sums(const ActionWorker& worker, const Schedule& schedule) {
  std::vector<std::vector<int>> sums;
  for (int stage = 0; stage < schedule.stages; ++stage) {
    for (proto::Phase part : {proto::F, proto::B, proto::W}) {
      if (!worker.Adds(stage, part)) continue;
      std::vector<int>& terms = sums.emplace_back();
      for (const Action& action : schedule.ranks[schedule.rank_of_stage[stage]]) {
        const bool both = action.phase == proto::BW && part != proto::F;
        if (action.stage == stage && (action.phase == part || both)) terms.push_back(action.micro_batch);
      }
    }
  }
  return sums;
}

// Actions that stand there twice or more, all of them such that the second time changes nothing: R, and F that neither
// adds into the loss nor sends to another rank. -1: some other action does.
int IdempotentRepeats(const ActionWorker& worker, const Schedule& schedule) {
  int repeats = 0;
  std::set<std::string> seen;
  for (const std::vector<Action>& list : schedule.ranks) {
    for (const Action& action : list) {
      if (seen.insert(action.ToString()).second) continue;
      const bool forward =
          action.phase == proto::F && !worker.Adds(action.stage, proto::F) && !worker.Sends(action.stage, proto::F);
      if (action.phase != proto::R && !forward) return -1;
      ++repeats;
    }
  }
  return repeats;
}

// Why a refused list may train to the right bits all the same; nothing: it may not.
std::string HarmlessByRule(const ActionWorker& worker, const Schedule& schedule) {
  const int repeats = IdempotentRepeats(worker, schedule);
  if (repeats < 0) return "";
  bool swapped = false;
  for (std::vector<int>& terms : Sums(worker, schedule)) {
    if (InOrder(terms, schedule.micro_batches)) continue;
    if (terms.size() < 2) return "";
    // 0 + a + b and 0 + b + a round alike: the first two terms of a sum may change places, no others.
    std::swap(terms[0], terms[1]);
    if (!InOrder(terms, schedule.micro_batches)) return "";
    swapped = true;
  }
  return swapped ? "first two terms" : repeats > 0 ? "F or R again" : "";
}

struct Tally {
  std::map<std::string, int> verdicts;
  int mutants = 0;
};

class Battery {
 public:
  explicit Battery(std::string model) : model_(std::move(model)) {}

  void Run(const BaseSchedule& base, int mutants, uint64_t seed) {
    base_ = &base;
    auto worker =
        ActionWorker::Make(MutantModel(model_), base.schedule, kMutantMicroBatch, MutantRun(1).seed, MutantRun(1).load);
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
    what_ = absl::StrCat(model_, ", ", base.name, ", unchanged");
    // The judge is judged first.
    ASSERT_EQ(Judge(base.schedule), "right bits") << what_ << "\n" << why_;
    for (int i = 0; i < mutants; ++i) {
      const ScheduleMutant mutant = MutateSchedule(base.schedule, seed + i);
      what_ =
          absl::StrCat(model_, ", ", base.name, ", seed ", seed + i, ", ", mutant.what, "\n", mutant.schedule.ToCsv());
      Tally& tally = tallies_[base.kind];
      ++tally.mutants;
      ++tally.verdicts[Verdict(mutant.schedule)];
    }
  }

  // Kinds by verdicts, then the refusals' rules by what they would have done.
  std::string Table() const {
    std::map<std::string, int> all;
    for (const auto& [kind, tally] : tallies_) {
      for (const auto& [verdict, count] : tally.verdicts) all[verdict] += count;
    }
    std::string text = "| schedule | mutants |";
    for (const auto& [verdict, count] : all) absl::StrAppend(&text, " ", verdict, " |");
    absl::StrAppend(&text, "\n");
    for (const auto& [kind, tally] : tallies_) {
      absl::StrAppend(&text, "| ", kind, " | ", tally.mutants, " |");
      for (const auto& [verdict, count] : all) {
        const auto found = tally.verdicts.find(verdict);
        absl::StrAppend(&text, " ", found == tally.verdicts.end() ? 0 : found->second, " |");
      }
      absl::StrAppend(&text, "\n");
    }
    absl::StrAppend(&text, "\n");
    for (const auto& [rule, verdicts] : rules_) {
      absl::StrAppend(&text, "| ", rule, " |");
      for (const auto& [verdict, count] : verdicts) absl::StrAppend(&text, " ", verdict, " ", count, ",");
      absl::StrAppend(&text, "\n");
    }
    for (const std::string& line : harmless_) absl::StrAppend(&text, "harmless, rule ", line, "\n");
    return text;
  }

  int Count(absl::string_view prefix) const {
    int count = 0;
    for (const auto& [kind, tally] : tallies_) {
      for (const auto& [verdict, n] : tally.verdicts) count += absl::StartsWith(verdict, prefix) ? n : 0;
    }
    return count;
  }

 private:
  // What the worker that knows no rules makes of a list.
  std::string Judge(const Schedule& schedule) {
    const auto played = worker_->Play(schedule);
    EXPECT_TRUE(played.ok()) << played.status() << what_;
    if (!played.ok()) return "error";
    why_ = played->why;
    if (played->outcome == Outcome::kRace) return "race";
    if (played->outcome == Outcome::kHang) return "hang";
    const RunResult& one = OneStage(model_, schedule.micro_batches, 1);
    const auto differences = Differences(played->gradients, one.gradients);
    why_ = differences.empty() ? absl::StrFormat("losses %.17g and %.17g", played->loss, one.losses[0])
                               : differences.front();
    return differences.empty() && played->loss == one.losses[0] ? "right bits" : "other bits";
  }

  std::string Verdict(const Schedule& schedule) {
    const absl::Status status = VerifySchedule(schedule);
    const std::string judged = Judge(schedule);
    if (!status.ok()) return Refused(schedule, RuleOf(status), judged);
    PartitionOptions options = MutantOptions(static_cast<int>(schedule.ranks.size()), schedule.micro_batches);
    options.custom_schedule = schedule;
    const auto plan = PlanFor(MutantModel(model_), options);
    if (!plan.ok()) return Limit(schedule, plan.status(), judged);
    EXPECT_EQ(judged, "right bits") << what_ << why_;
    const auto result = RunPlan(*plan, MutantRun(kSteps));
    EXPECT_TRUE(result.ok()) << result.status() << "\n" << what_;
    if (!result.ok()) return "accepted: failed";
    const std::string difference = DifferenceOf(*result, OneStage(model_, schedule.micro_batches, kSteps));
    EXPECT_EQ(difference, "") << what_;
    return difference.empty() ? "accepted: right bits" : "accepted: OTHER BITS";
  }

  std::string Refused(const Schedule& schedule, const std::string& rule, const std::string& judged) {
    std::string verdict = judged;
    if (judged == "right bits") {
      const std::string why = HarmlessByRule(*worker_, schedule);
      EXPECT_NE(why, "") << "refused by rule " << rule << ", but trains to the right bits: " << what_;
      verdict = absl::StrCat("harmless, ", why);
    }
    if (rule == "deadlock") {
      // A rank that waits for a stage of its own has an action before its cause in one list: it reads what is not
      // there.
      const bool alone = schedule.stages == static_cast<int>(schedule.ranks.size());
      EXPECT_TRUE(judged == "hang" || (judged == "race" && !alone)) << judged << ": " << what_ << why_;
    }
    ++rules_[rule][verdict];
    if (judged == "right bits") harmless_.push_back(absl::StrCat(rule, ": ", what_.substr(0, what_.find('\n'))));
    return absl::StrCat("refused: ", verdict);
  }

  // Lists that are right on paper and that a plan cannot be made of for this graph: two reasons are known.
  std::string Limit(const Schedule& schedule, const absl::Status& status, const std::string& judged) {
    std::string reason;
    if (absl::StrContains(status.message(), "a stage is recomputed for all micro-batches or none")) {
      reason = "R for some micro-batches only";
    } else if (RuleOf(status) == "accumulation-order") {
      // The loss is summed in F; which stage does that is the graph's matter, not the list's.
      reason = "F order of the loss";
      bool in_order = true;
      for (const std::vector<int>& terms : Sums(*worker_, schedule)) {
        in_order = in_order && InOrder(terms, schedule.micro_batches);
      }
      EXPECT_FALSE(in_order) << what_ << status;
      if (judged == "right bits") {
        EXPECT_EQ(HarmlessByRule(*worker_, schedule), "first two terms") << what_;
      } else {
        EXPECT_EQ(judged, "other bits") << what_ << why_;
      }
    }
    EXPECT_NE(reason, "") << status << "\n" << what_;
    ++rules_[absl::StrCat("(plan) ", reason)][judged];
    return "no plan";
  }

  const std::string model_;
  const BaseSchedule* base_ = nullptr;
  std::unique_ptr<ActionWorker> worker_;
  std::map<std::string, Tally> tallies_;                     // by kind
  std::map<std::string, std::map<std::string, int>> rules_;  // of refusals
  std::vector<std::string> harmless_;                        // the rule and the mutant
  std::string what_, why_;                                   // the mutant at hand, and what came of it
};

void RunBattery(const std::string& model, const std::vector<int>& ps, int mutants) {
  Battery battery(model);
  uint64_t seed = model == "gpt2" ? 1000000 : 2000000;
  for (const std::string& kind : BaseKinds()) {
    for (int p : ps) battery.Run(MakeBase(kind, p), mutants, seed += 10000);
  }
  std::cout << battery.Table() << std::endl;
  // A battery in which one side is missing proves nothing.
  EXPECT_GT(battery.Count("accepted"), 0);
  for (const char* verdict : {"refused: race", "refused: hang", "refused: other bits"}) {
    EXPECT_GT(battery.Count(verdict), 0) << verdict;
  }
}

TEST(ScheduleMutants, Gpt2) { RunBattery("gpt2", {2, 3}, 25); }
TEST(ScheduleMutants, Llama) { RunBattery("llama", {4}, 25); }
TEST(ScheduleMutants, LongGpt2) { RunBattery("gpt2", {2, 3, 4}, 120); }
TEST(ScheduleMutants, LongLlama) { RunBattery("llama", {2, 3, 4}, 120); }

}  // namespace
}  // namespace millrace
