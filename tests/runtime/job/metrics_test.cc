#include "runtime/job/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(MetricsRow, NineDigitsTellFloatsApart) {
  EXPECT_EQ(MetricsRow(12, {4.1234567891, 0.5, 1e-300, 0}), "12,4.12345679,0.5,1e-300,0");
  EXPECT_EQ(MetricsRow(1, {std::nan(""), INFINITY}), "1,nan,inf");
  const float a = 4.12345678f, b = std::nextafter(a, 5.0f);
  EXPECT_NE(MetricsRow(1, {a}), MetricsRow(1, {b}));
}

TEST(NumberInRow, ReadsColumns) {
  EXPECT_EQ(NumberInRow("12,4.5,6", 0), 12);
  EXPECT_EQ(NumberInRow("12,4.5,6", 2), 6);
  EXPECT_TRUE(std::isnan(NumberInRow("12,4.5,6", 3)));
  EXPECT_TRUE(std::isnan(NumberInRow("12,x", 1)));
}

TEST(MetricsFile, ContinuesWithoutDuplicates) {
  const std::string path = FreshFolder() + "/metrics.csv";
  {
    auto file = MetricsFile::Open(path, "step,loss", 0);
    ASSERT_TRUE(file.ok()) << file.status();
    for (int step = 1; step <= 5; ++step) ASSERT_TRUE((*file)->Append(step, {step * 0.5}).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  EXPECT_EQ(Contents(path), "step,loss\n1,0.5\n2,1\n3,1.5\n4,2\n5,2.5\n");
  auto file = MetricsFile::Open(path, "step,loss", 3);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT((*file)->kept_rows(), ElementsAre("1,0.5", "2,1", "3,1.5"));
  ASSERT_TRUE((*file)->Append(4, {9}).ok());
  EXPECT_EQ(Contents(path), "step,loss\n1,0.5\n2,1\n3,1.5\n4,9\n");
}

TEST(MetricsFile, DropsARowThatWasCutShortAndWhatIsNoRow) {
  const std::string path = FreshFolder() + "/metrics.csv";
  Write(path, "step,loss\n1,0.5\n2,1");
  EXPECT_THAT((*MetricsFile::Open(path, "step,loss", 9))->kept_rows(), ElementsAre("1,0.5"));
  Write(path, "step,loss\n1,0.5\nx,1\n3,1\n");
  EXPECT_THAT((*MetricsFile::Open(path, "step,loss", 9))->kept_rows(), ElementsAre("1,0.5"));
  Write(path, "step,loss\n2,0.5\n2,1\n");
  EXPECT_THAT((*MetricsFile::Open(path, "step,loss", 9))->kept_rows(), ElementsAre("2,0.5"));
  Write(path, "step,lo");
  EXPECT_TRUE((*MetricsFile::Open(path, "step,loss", 9))->kept_rows().empty());
}

TEST(MetricsFile, RefusesAnotherTable) {
  const std::string path = Write(FreshFolder() + "/metrics.csv", "name,price\nx,1\n");
  const auto file = MetricsFile::Open(path, "step,loss", 9);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Contents(path), "name,price\nx,1\n");
}

}  // namespace
}  // namespace millrace
