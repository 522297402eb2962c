#include "runtime/worker/replica_queue.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/reference/reference.h"

namespace millrace {
namespace {

using testing::ElementsAre;

// Writes down what is posted, by the first tag of the group; a group is done when the test says so.
class NotedCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override {
    posted.push_back(group[0].tag & 0xff);
    return posted.back();
  }
  bool Done(Ticket ticket) override { return done.count(ticket) > 0; }
  absl::Status Wait(Ticket ticket, const std::function<std::string()>&) override {
    waited.push_back(ticket);
    return absl::OkStatus();
  }
  absl::Status Barrier() override { return absl::OkStatus(); }
  absl::Status AllGather(const void*, void*, uint64_t) override { return absl::OkStatus(); }
  void Abort(absl::Status) override {}
  absl::Status Failure() const override { return absl::OkStatus(); }

  std::vector<uint64_t> posted, waited;
  std::set<uint64_t> done;
};

class ReplicaQueueTest : public testing::Test {
 protected:
  ReplicaQueueTest() : device_(*OpenReference({})), stream_(*device_->NewStream()) {}

  // A sum, tag 10 k, then a gather with nothing behind it, tag 10 k + 1.
  void PushReduce(uint64_t k, bool gathers) {
    works_.push_back(std::make_unique<ReplicaWork>(&communicator_));
    works_.back()->Add({{Transfer{false, 1, 10 * k, nullptr, 0}}, [this, k](Stream&) {
                          added_.push_back(k);
                          return absl::OkStatus();
                        }});
    if (gathers) works_.back()->Add({{Transfer{false, 1, 10 * k + 1, nullptr, 0}}, nullptr});
    queue_.Push(works_.back().get());
  }
  bool Advance() { return *queue_.Advance(*stream_); }

  NotedCommunicator communicator_;
  const std::unique_ptr<Device> device_;
  const std::unique_ptr<Stream> stream_;
  std::vector<std::unique_ptr<ReplicaWork>> works_;
  std::vector<uint64_t> added_;
  ReplicaQueue queue_;
  int64_t waited_ = 0;
};

TEST_F(ReplicaQueueTest, TheNextBeginsWhenNothingIsLeftToPostButNotWhileStagingIsInUse) {
  for (uint64_t k : {1, 2, 3}) PushReduce(k, /*gathers=*/true);
  EXPECT_FALSE(Advance());
  EXPECT_THAT(communicator_.posted, ElementsAre(10));
  communicator_.done.insert(10);
  EXPECT_FALSE(Advance());  // added up: the gather is posted, and then the next sum
  EXPECT_THAT(communicator_.posted, ElementsAre(10, 11, 20));
  communicator_.done.insert(20);  // before 11
  EXPECT_FALSE(Advance());
  EXPECT_THAT(communicator_.posted, ElementsAre(10, 11, 20, 21, 30));
  EXPECT_THAT(added_, ElementsAre(1, 2));
  communicator_.done.insert(11);
  EXPECT_TRUE(Advance());
  ASSERT_TRUE(queue_.Finish(*stream_, [] { return std::string(); }, &waited_).ok());
  EXPECT_FALSE(Advance());
}

TEST_F(ReplicaQueueTest, SumsAloneFollowEachOther) {
  for (uint64_t k : {1, 2}) PushReduce(k, /*gathers=*/false);
  EXPECT_FALSE(Advance());
  EXPECT_THAT(communicator_.posted, ElementsAre(10));
  communicator_.done.insert(10);
  EXPECT_TRUE(Advance());
  EXPECT_THAT(communicator_.posted, ElementsAre(10, 20));
}

TEST_F(ReplicaQueueTest, FinishPostsInTheSameOrder) {
  for (uint64_t k : {1, 2}) PushReduce(k, /*gathers=*/true);
  for (int k = 0; k < 2; ++k) {
    ASSERT_TRUE(queue_.Finish(*stream_, [] { return std::string(); }, &waited_).ok());
  }
  EXPECT_THAT(communicator_.posted, ElementsAre(10, 11, 20, 21));
  EXPECT_THAT(added_, ElementsAre(1, 2));
  queue_.Clear();
  PushReduce(3, /*gathers=*/true);
  EXPECT_FALSE(Advance());
  EXPECT_EQ(communicator_.posted.back(), 30);
}

}  // namespace
}  // namespace millrace
