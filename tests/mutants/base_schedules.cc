#include "tests/mutants/base_schedules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/schedule/make_schedule.h"

namespace millrace {
namespace {

// 1F1B in which each rank but the last makes its activations again, right before the backward pass or one action
// earlier.
Schedule Recomputed(Schedule schedule) {
  for (size_t r = 0; r + 1 < schedule.ranks.size(); ++r) {
    std::vector<Action> list;
    for (const Action& action : schedule.ranks[r]) {
      const bool backward = action.phase == proto::B || action.phase == proto::BW;
      const Action again = {action.stage, proto::R, action.micro_batch};
      const bool early = backward && !list.empty() && list.back().micro_batch != action.micro_batch;
      if (backward) list.insert(list.end() - (early && action.micro_batch % 2 == 1 ? 1 : 0), again);
      list.push_back(action);
    }
    schedule.ranks[r] = list;
  }
  return schedule;
}

proto::Model Gpt2() {
  return MakeGpt2({.layers = 4, .heads = 2, .width = 8, .vocabulary = kMutantVocabulary, .context = 5, .dropout = 0.1})
      .value();
}

proto::Model Llama() {
  LlamaOptions options;
  options.layers = 4;
  options.heads = 2;
  options.kv_heads = 1;
  options.width = 8;
  options.hidden = 12;
  options.vocabulary = kMutantVocabulary;
  options.context = 5;
  return MakeLlama(options).value();
}

}  // namespace

const proto::Model& MutantModel(const std::string& name) {
  static const auto& gpt2 = *new proto::Model(Gpt2());
  static const auto& llama = *new proto::Model(Llama());
  return name == "gpt2" ? gpt2 : llama;
}

BaseSchedule MakeBase(const std::string& kind, int p) {
  ScheduleRequest request;
  request.kind = kind == "recompute" ? "1f1b" : kind;
  request.ranks = p;
  request.chunks = kind == "interleaved" ? 2 : 1;
  request.micro_batches = std::max(4, 2 * p);
  const auto schedule = MakeSchedule(request);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  BaseSchedule base;
  base.kind = kind;
  base.name = absl::StrCat(kind, ", p ", p, ", m ", request.micro_batches);
  base.schedule = kind == "recompute" ? Recomputed(schedule.value()) : schedule.value();
  return base;
}

std::vector<std::string> BaseKinds() {
  std::vector<std::string> kinds = ScheduleKinds();
  kinds.push_back("recompute");
  return kinds;
}

PartitionOptions MutantOptions(int pp, int micro_batches) {
  PartitionOptions options = OptionsFor("cpu", pp);
  options.micro_batch = kMutantMicroBatch;
  options.micro_batches = micro_batches;
  options.cut = "even";
  options.with_eval = options.with_logits = false;
  return options;
}

RunOptions MutantRun(int steps) {
  RunOptions run;
  run.steps = steps;
  run.load = RandomTokens(kMutantVocabulary);
  return run;
}

const RunResult& OneStage(const std::string& model, int micro_batches, int steps) {
  static auto& known = *new std::map<std::tuple<std::string, int, int>, RunResult>;
  const auto [found, is_new] = known.try_emplace({model, micro_batches, steps});
  if (!is_new) return found->second;
  const auto plan = PlanFor(MutantModel(model), MutantOptions(1, micro_batches));
  EXPECT_TRUE(plan.ok()) << plan.status();
  const auto result = RunPlan(plan.value(), MutantRun(steps));
  EXPECT_TRUE(result.ok()) << result.status();
  return found->second = result.value();
}

std::string DifferenceOf(const RunResult& a, const RunResult& b) {
  if (a.losses != b.losses) return "other losses";
  if (a.norms != b.norms) return "other gradient norms";
  for (const auto& differences : {Differences(a.gradients, b.gradients), Differences(a.weights, b.weights)}) {
    if (!differences.empty()) return differences.front();
  }
  return "";
}

}  // namespace millrace
