// The order in which every rank ran its actions, as measured, is the schedule's list, for every kind.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/mutants/base_schedules.h"

namespace millrace {
namespace {

// By rank, what the trace's spans of RUN say, in order of their start.
std::vector<std::vector<Action>> Replayed(const proto::ExecutionPlan& plan, const proto::StepTrace& trace) {
  std::vector<proto::Span> spans(trace.spans().begin(), trace.spans().end());
  // By the clock alone: two spans of a rank that start in the same tick stay in the order in which they were recorded.
  std::stable_sort(spans.begin(), spans.end(),
                   [](const auto& a, const auto& b) { return a.start_seconds() < b.start_seconds(); });
  std::vector<std::vector<Action>> lists(plan.ranks_size());
  for (const proto::Span& span : spans) {
    const proto::Instruction& instruction = plan.programs(0).ranks(span.rank()).instructions(span.instruction());
    if (instruction.kind() != proto::Instruction::RUN) continue;
    lists[span.rank()].push_back(
        {static_cast<int>(instruction.stage()), instruction.phase(), static_cast<int>(instruction.micro_batch())});
  }
  return lists;
}

class Replay : public testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(Replay, IsTheSchedule) {
  const auto& [kind, pp] = GetParam();
  const BaseSchedule base = MakeBase(kind, pp);
  PartitionOptions options = MutantOptions(pp, base.schedule.micro_batches);
  if (kind == "recompute") {
    options.custom_schedule = base.schedule;
  } else {
    options.schedule = kind;
  }
  std::string csv;  // the last schedule that the partitioner settled on
  options.dump = [&csv](absl::string_view pass, const std::string& text) {
    if (pass == "schedule") csv = text;
  };
  const auto plan = PlanFor(MutantModel("gpt2"), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto schedule = Schedule::ParseCsv(csv);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  const auto result = RunPlan(*plan, MutantRun(3));
  ASSERT_TRUE(result.ok()) << result.status();
  Schedule replayed = *schedule;
  replayed.ranks = Replayed(*plan, result->trace);
  EXPECT_EQ(replayed.ToCsv(), schedule->ToCsv());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Replay, testing::Combine(testing::ValuesIn(BaseKinds()), testing::Values(2, 3, 4)), [](const auto& info) {
      return absl::StrCat(absl::StrReplaceAll(std::get<0>(info.param), {{"-", "_"}}), "_", std::get<1>(info.param));
    });

}  // namespace
}  // namespace millrace
