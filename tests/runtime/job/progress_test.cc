#include "runtime/job/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "runtime/log/log.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StepReport Report(uint64_t step, uint64_t steps) {
  return {.step = step,
          .steps = steps,
          .loss = 4.12341,
          .gradient_norm = 1.024,
          .learning_rate = 3e-4,
          .seconds = 0.123,
          .tokens = 1023,
          .bubble = 0.21};
}

TEST(StepLine, SaysEverythingOnOneLine) {
  EXPECT_EQ(StepLine(Report(12, 100)),
            "step 12/100  loss 4.1234  norm 1.02  lr 3.0e-04  123 ms  8317 tok/s  bubble 21 %");
  StepReport report = Report(12, 100);
  report.mfu = 0.456;
  report.skipped = true;
  report.counts_tokens = false;
  EXPECT_THAT(StepLine(report), HasSubstr("samples/s"));
  EXPECT_THAT(StepLine(report), HasSubstr("MFU 46 %"));
  EXPECT_THAT(StepLine(report), HasSubstr("skipped"));
  report.seconds = 0;
  EXPECT_THAT(StepLine(report), HasSubstr(" 0 samples/s"));
}

TEST(Progress, WritesWholeLinesToAFile) {
  std::ostringstream out;
  {
    Progress progress(&out, /*terminal=*/false, 10);
    progress.Note("data: x");
    for (int step = 1; step <= 10; ++step) progress.Step(Report(step, 10));
  }
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Progress, AboutAHundredLinesForALongRun) {
  std::ostringstream out;
  {
    Progress progress(&out, /*terminal=*/false, 100000);
    for (int step = 1; step <= 100000; ++step) progress.Step(Report(step, 100000));
  }
  const std::string text = out.str();
  EXPECT_NEAR(std::count(text.begin(), text.end(), '\n'), 100, 3);
  EXPECT_THAT(text, HasSubstr("step 100000/100000"));
}

TEST(Progress, RewritesOneLineOnATerminal) {
  std::ostringstream out;
  {
    Progress progress(&out, /*terminal=*/true, 1000);
    for (int step = 1; step <= 1000; ++step) progress.Step(Report(step, 1000));
    const std::string text = out.str();
    EXPECT_LT(std::count(text.begin(), text.end(), '\r'), 100);
    EXPECT_THAT(out.str(), HasSubstr("step 1000/1000"));
    Log(LogLevel::kWarning, "something");
    EXPECT_THAT(out.str(), HasSubstr("something\n"));
  }
  EXPECT_EQ(out.str().back(), '\n');
}

TEST(Progress, NobodyListens) {
  Progress progress(nullptr, /*terminal=*/true, 10);
  progress.Note("x");
  progress.Step(Report(1, 10));
}

}  // namespace
}  // namespace millrace
