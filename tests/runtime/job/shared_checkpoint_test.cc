// Saves that several processes make together: the same bytes as one process writes, or nothing at all.
#include "runtime/job/shared_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/find.h"
#include "tests/runtime/checkpoint/memory_store.h"
#include "tests/runtime/data/files.h"
#include "tests/runtime/job/processes.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

proto::ExecutionPlan Plan() {
  ToyOptions options;
  options.stages = options.ranks = 2;
  return ToyPlan(options);
}

proto::CheckpointManifest Facts() {
  proto::CheckpointManifest facts;
  facts.set_plan_hash("aaaa");
  facts.set_step(3);
  return facts;
}

std::map<std::string, std::string> Files(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    files[fs::relative(entry.path(), folder).string()] =
        entry.is_regular_file() ? Contents(entry.path().string()) : "folder";
  }
  return files;
}

// One that has only what its ranks keep, and can be told to fail.
class Part : public MemoryStore {
 public:
  Part(int seed, Ranks* ranks, int failing_rank = -1)
      : MemoryStore(SmallStore(seed)), ranks_(ranks), failing_rank_(failing_rank) {}
  bool is_here(int tensor) const override { return ranks_->is_here(rank(tensor)); }
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override {
    if (!is_here(tensor)) return absl::InternalError("not here");
    if (rank(tensor) == failing_rank_) return absl::ResourceExhaustedError("the disk is full");
    return MemoryStore::Read(tensor, memory, bytes);
  }
  absl::Status Write(int tensor, const void* memory, uint64_t bytes) override {
    if (!is_here(tensor)) return absl::InternalError("not here");
    return MemoryStore::Write(tensor, memory, bytes);
  }

 private:
  Ranks* const ranks_;
  const int failing_rank_;
};

class SharedCheckpoint : public ::testing::TestWithParam<Split> {
 protected:
  std::vector<absl::Status> InEach(const std::function<absl::Status(Ranks*)>& body) {
    return WithRanks(plan_, GetParam(), body);
  }
  absl::Status Save(int seed, Ranks* ranks, int failing_rank = -1, const absl::Status& ready = absl::OkStatus()) {
    return SaveTogether(ranks->has_root() ? root_ : "", ready, Facts(), Part(seed, ranks, failing_rank), ranks);
  }

  const proto::ExecutionPlan plan_ = Plan();
  const std::string folder_ = FreshFolder(), root_ = folder_ + "/together";
};

TEST_P(SharedCheckpoint, HasTheBytesOfASaveByOneProcess) {
  for (const absl::Status& status : InEach([&](Ranks* ranks) { return Save(1, ranks); })) {
    EXPECT_TRUE(status.ok()) << status;
  }
  ASSERT_TRUE(SaveCheckpoint(folder_ + "/alone", Facts(), 2, SmallStore(1)).ok());
  EXPECT_EQ(Files(root_), Files(folder_ + "/alone"));
  for (const absl::Status& status : InEach([&](Ranks* ranks) {
         const auto found = ResumeTogether(ranks->has_root() ? root_ + "/step-00000003" : std::string(), ranks);
         if (!found.ok()) return found.status();
         Part restored(9, ranks);
         const absl::Status loaded = LoadCheckpoint(*found, "aaaa", &restored).status();
         for (int i = 0; i < restored.tensors().size(); ++i) {
           EXPECT_EQ(restored.contents[i], (restored.is_here(i) ? SmallStore(1) : SmallStore(9)).contents[i]) << i;
         }
         return loaded;
       })) {
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_P(SharedCheckpoint, IsNotCommittedWhenOneProcessFails) {
  for (const absl::Status& status : InEach([&](Ranks* ranks) { return Save(1, ranks); })) ASSERT_TRUE(status.ok());
  const auto before = Files(root_);
  for (int failing = 0; failing < 2; ++failing) {
    for (const absl::Status& status : InEach([&](Ranks* ranks) { return Save(2, ranks, failing); })) {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("the disk is full"));
    }
    EXPECT_EQ(Files(root_), before);
  }
  for (const absl::Status& status : InEach([&](Ranks* ranks) {
         return Save(2, ranks, -1, ranks->is_here(1) ? absl::DataLossError("not ready") : absl::OkStatus());
       })) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  }
  EXPECT_EQ(Files(root_), before);
}

TEST_P(SharedCheckpoint, CannotBeBegunWhereAFileIsInTheWay) {
  Write(root_, "a file");
  for (const absl::Status& status : InEach([&](Ranks* ranks) { return Save(1, ranks); })) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(root_));
  }
}

INSTANTIATE_TEST_SUITE_P(Splits, SharedCheckpoint, ::testing::Values(Split{{0, 1}}, OneEach(2)));

}  // namespace
}  // namespace millrace
