#include "runtime/worker/recorded_runs.h"

#include <memory>

#include "gtest/gtest.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/async_device.h"

namespace millrace {
namespace {

class RecordedRunsTest : public testing::Test {
 protected:
  RecordedRunsTest() : device_(*OpenReference({})), stream_(*device_->NewStream(), absl::ZeroDuration()) {}

  // A run that adds one to `sum_`.
  absl::Status Queue(Stream& stream, const BoundRun& run) {
    return runs_.Queue(stream, run, [&] {
      ++queued_;
      if (auto* async = dynamic_cast<AsyncStream*>(&stream); async != nullptr) {
        async->Put([this] { return ++sum_, absl::OkStatus(); });
      }
      return absl::OkStatus();
    });
  }

  const std::unique_ptr<Device> device_;
  RecordedRuns runs_;
  int queued_ = 0, sum_ = 0;
  AsyncStream stream_;
};

TEST_F(RecordedRunsTest, QueuesOnceRecordsOnceAndLaunchesFromThenOn) {
  const BoundRun run, other;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Queue(stream_, run).ok());
  ASSERT_TRUE(Queue(stream_, other).ok());
  ASSERT_TRUE(stream_.Synchronize().ok());
  EXPECT_EQ(sum_, 6);
  EXPECT_EQ(queued_, 3);
  EXPECT_EQ(stream_.launched(), 4);
}

TEST_F(RecordedRunsTest, AStreamThatRecordsNothingIsGivenTheCallsEachTime) {
  const auto device = *OpenReference({});
  const auto stream = *device->NewStream();
  const BoundRun run;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Queue(*stream, run).ok());
  EXPECT_EQ(queued_, 5);
}

TEST_F(RecordedRunsTest, AnErrorWhileRecordingIsReturnedAndNothingIsKept) {
  const BoundRun run;
  ASSERT_TRUE(Queue(stream_, run).ok());
  EXPECT_EQ(runs_.Queue(stream_, run, [] { return absl::InternalError("no"); }).message(), "no");
  ASSERT_TRUE(Queue(stream_, run).ok());
  ASSERT_TRUE(stream_.Synchronize().ok());
  EXPECT_EQ(sum_, 2);
}

TEST(CanRecord, NeitherRandomRunsNorThoseInsideWhichSomethingBegins) {
  BoundRun run;
  BoundInstruction instruction;
  instruction.run = &run;
  EXPECT_TRUE(RecordedRuns::CanRecord(instruction));
  instruction.beginnings.push_back({1, 2});
  EXPECT_FALSE(RecordedRuns::CanRecord(instruction));
  instruction.beginnings.clear();
  run.random = true;
  EXPECT_FALSE(RecordedRuns::CanRecord(instruction));
}

}  // namespace
}  // namespace millrace
