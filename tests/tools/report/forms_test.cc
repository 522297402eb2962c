// The forms of a report on plans made by hand, small and very large.
#include "tools/report/forms.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tests/runtime/plan/tiny_plan.h"
#include "tools/report/explanation.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr size_t kMostPage = 2'000'000;

Report ReportOf(proto::ExecutionPlan plan, double slower = 1.25) {
  Report report;
  report.folder = "run";
  report.predicted = Simulate(plan, "train")->trace;
  report.measured = report.predicted;
  report.measured.set_predicted(false);
  report.measured.set_step(7);
  for (proto::Span& span : *report.measured.mutable_spans()) {
    span.set_start_seconds(span.start_seconds() * slower);
    span.set_wait_seconds(span.wait_seconds() * slower);
    span.set_end_seconds(span.end_seconds() * slower);
  }
  report.plan = std::move(plan);
  report.balance = *MakeBalance(report.plan, report.predicted, report.measured);
  report.predicted_cap = *MakeScheduleCap(report.plan, report.predicted);
  report.measured_cap = *MakeScheduleCap(report.plan, report.measured);
  report.recut = absl::NotFoundError("<no model> & \x1b none");
  return report;
}

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

TEST(Forms, APlanOfThreeStages) {
  const Report report = ReportOf(TinyPlan({.stages = 3, .micro_batches = 4, .send = 0.25}));
  const std::string page = ReportHtml(report);
  EXPECT_EQ(Count(page, "<rect class=\"f e\""), 2u * 3 * 4) << "a cell for every forward, predicted and measured";
  EXPECT_THAT(page, HasSubstr("&lt;no model&gt; &amp;"));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  const std::string text = ReportText(report, {.width = 100});
  EXPECT_THAT(text, HasSubstr("step 7"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  const auto json = nlohmann::json::parse(ReportJson(report));
  EXPECT_EQ(json["ranks"].size(), 3u);
  EXPECT_DOUBLE_EQ(json["measured_seconds"].get<double>(), 1.25 * json["predicted_seconds"].get<double>());
  const auto trace = nlohmann::json::parse(ChromeTrace(report));
  EXPECT_GT(trace["traceEvents"].size(), 100u);
}

TEST(Forms, AStepMuchLongerThanPredictedIsDrawnAsWide) {
  EXPECT_THAT(ReportHtml(ReportOf(TinyPlan({.stages = 2}), 2)), Not(HasSubstr("times wider")));
  EXPECT_THAT(ReportHtml(ReportOf(TinyPlan({.stages = 2}), 5)), HasSubstr("drawn 5.0 times wider"));
}

TEST(Forms, PagesOfLargePlansStaySmall) {
  for (const auto& [stages, micro_batches] : {std::pair(8, 32), std::pair(24, 150), std::pair(150, 40)}) {
    const Report report = ReportOf(TinyPlan({.stages = stages, .micro_batches = micro_batches, .send = 0.1}));
    const std::string page = ReportHtml(report);
    EXPECT_LT(page.size(), kMostPage) << stages << " stages, " << micro_batches << " micro-batches";
    EXPECT_EQ(Count(page, "first 128"), stages > 128 ? 3u : 0u);
    const absl::StatusOr<Explanation> explanation = Explain(report.plan, nullptr);
    ASSERT_TRUE(explanation.ok()) << explanation.status();
    EXPECT_LT(ExplainHtml(report.plan, *explanation).size(), kMostPage);
  }
}

TEST(Forms, TimesThatNoStepTakesAreNoCrash) {
  Report report = ReportOf(TinyPlan({.stages = 2}));
  for (proto::Span& span : *report.measured.mutable_spans()) {
    if (span.instruction() % 3 == 0) span.set_start_seconds(-1e300);
    if (span.instruction() % 5 == 0) span.set_end_seconds(1e300);
  }
  report.balance = *MakeBalance(report.plan, report.predicted, report.measured);
  for (const std::string& form : {ReportHtml(report), ReportText(report, {.width = 100}), ReportJson(report),
                                  ChromeTrace(report), InstructionsCsv(report), StagesCsv(report)}) {
    EXPECT_FALSE(form.empty());
  }
  for (const double end : {0.0, 5e-324, 1.7e308}) {
    for (proto::StepTrace* trace : {&report.predicted, &report.measured}) {
      for (proto::Span& span : *trace->mutable_spans()) {
        span.set_start_seconds(0);
        span.set_wait_seconds(0);
        span.set_end_seconds(end);
      }
    }
    report.balance = *MakeBalance(report.plan, report.predicted, report.measured);
    EXPECT_THAT(ReportHtml(report), HasSubstr("</html>"));
    EXPECT_THAT(ReportText(report, {.width = 100}), HasSubstr("Memory"));
    EXPECT_THAT(ChromeTrace(report), HasSubstr("traceEvents"));
  }
}

}  // namespace
}  // namespace millrace
