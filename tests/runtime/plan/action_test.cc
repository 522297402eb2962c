#include "runtime/plan/action.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(Action, PrintsAndParses) {
  for (const char* text : {"0F0", "2F11", "1B3", "0W2", "10BW12", "1R4"}) {
    const absl::StatusOr<Action> action = Action::Parse(text);
    ASSERT_TRUE(action.ok()) << text;
    EXPECT_EQ(action->ToString(), text);
  }
  EXPECT_EQ(*Action::Parse(" 2BW7 "), (Action{2, proto::BW, 7}));
}

TEST(Action, RefusesWhatIsNone) {
  for (const char* text :
       {"", "F0", "0F", "0X1", "0F1x", "-1F0", "0F-1", "0 F 0", "0f0", "0WB1", "9999999999F0", "0F9999999999"}) {
    EXPECT_FALSE(Action::Parse(text).ok()) << text;
  }
}

TEST(Schedule, CsvRoundTrip) {
  const std::string csv = "0F0,0F1,0BW0,0BW1\n1F0,1B0,1F1,1B1,1W0,1W1\n";
  const absl::StatusOr<Schedule> schedule = Schedule::ParseCsv(csv);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  EXPECT_EQ(schedule->stages, 2);
  EXPECT_EQ(schedule->micro_batches, 2);
  EXPECT_EQ(schedule->rank_of_stage, (std::vector<int>{0, 1}));
  EXPECT_EQ(schedule->ToCsv(), csv);
  EXPECT_EQ(*Schedule::ParseCsv(schedule->ToCsv()), *schedule);
}

TEST(Schedule, EmptyCellsAreIdleTime) {
  const absl::StatusOr<Schedule> schedule = Schedule::ParseCsv("0F0,,, 0BW0\n,1F0,1BW0,\r\n\n");
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  EXPECT_EQ(schedule->ToCsv(), "0F0,0BW0\n1F0,1BW0\n");
}

TEST(Schedule, SeveralStagesPerRank) {
  const absl::StatusOr<Schedule> schedule = Schedule::ParseCsv("0F0,3F0\n1F0,2F0");
  ASSERT_TRUE(schedule.ok());
  EXPECT_EQ(schedule->rank_of_stage, (std::vector<int>{0, 1, 1, 0}));
}

TEST(Schedule, SaysWhatIsWrongAndWhere) {
  const auto message = [](const char* csv) { return std::string(Schedule::ParseCsv(csv).status().message()); };
  EXPECT_NE(message("0F0\n1F0,1Q0").find("line 2 (rank 1), cell 2"), std::string::npos);
  EXPECT_NE(message("0F0\n0BW0").find("stage 0 is on rank 0 and"), std::string::npos);
  EXPECT_NE(message("0F0,2F0,2F1").find("stage 1 has no action"), std::string::npos);
  EXPECT_NE(message("0F0\n\n1F0").find("line 2 (rank 1) has no action"), std::string::npos);
  EXPECT_NE(message("").find("has no action"), std::string::npos);
  EXPECT_NE(message("999999999F0").find("cannot cover"), std::string::npos);
  EXPECT_NE(message("0F999999999").find("cannot cover"), std::string::npos);
}

}  // namespace
}  // namespace millrace
