#include "runtime/job/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/runtime/checkpoint/memory_store.h"
#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void SaveAt(const std::string& run, uint64_t step) {
  proto::CheckpointManifest facts;
  facts.set_step(step);
  ASSERT_TRUE(SaveCheckpoint(run + "/checkpoint", facts, 2, SmallStore(1)).ok());
}

TEST(RunFolder, NeverOverwritesARun) {
  const std::string path = FreshFolder() + "/a/b";
  EXPECT_TRUE(RunFolder::Open(path, false).ok());
  Write(path + "/notes.txt", "mine");
  EXPECT_TRUE(RunFolder::Open(path, false).ok()) << "a file of another kind is no run";
  for (const std::string name : {"metrics.csv", "weights.safetensors", "checkpoint", "plan.pb"}) {
    Write(path + "/" + name, "x");
    const auto folder = RunFolder::Open(path, false);
    EXPECT_EQ(folder.status().code(), absl::StatusCode::kAlreadyExists) << name;
    EXPECT_THAT(folder.status().message(), HasSubstr("--resume=auto"));
    EXPECT_TRUE(RunFolder::Open(path, true).ok());
    fs::remove(path + "/" + name);
  }
}

TEST(RunFolder, OneRunAtATime) {
  const std::string path = FreshFolder();
  const auto first = RunFolder::Open(path, false);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(RunFolder::Open(path, true).status().code(), absl::StatusCode::kAborted);
}

TEST(RunFolder, RefusesAFileInItsPlace) {
  const std::string path = Write(FreshFolder() + "/file", "x");
  EXPECT_FALSE(RunFolder::Open(path, false).ok());
  EXPECT_FALSE(RunFolder::Open(path + "/below", false).ok());
  EXPECT_EQ(Contents(path), "x");
}

TEST(FindResumePoint, Auto) {
  const std::string run = FreshFolder();
  EXPECT_FALSE(FindResumePoint("", run)->has_value());
  EXPECT_FALSE(FindResumePoint("auto", run)->has_value());
  SaveAt(run, 10);
  SaveAt(run, 20);
  EXPECT_FALSE(FindResumePoint("", run)->has_value());
  EXPECT_EQ((*FindResumePoint("auto", run))->checkpoint, run + "/checkpoint/step-00000020");
  EXPECT_TRUE((*FindResumePoint("auto", run))->in_place);
  Write(run + "/checkpoint/step-00000020/rank-0000.bin", "");
  EXPECT_EQ((*FindResumePoint("auto", run))->checkpoint, run + "/checkpoint/step-00000010");
  Write(run + "/checkpoint/step-00000010/rank-0000.bin", "");
  EXPECT_EQ(FindResumePoint("auto", run).status().code(), absl::StatusCode::kDataLoss);
}

TEST(FindResumePoint, ByPath) {
  const std::string folder = FreshFolder(), run = folder + "/run", other = folder + "/other";
  SaveAt(run, 10);
  SaveAt(run, 20);
  EXPECT_EQ((*FindResumePoint(run, other))->checkpoint, run + "/checkpoint/step-00000020");
  EXPECT_FALSE((*FindResumePoint(run, other))->in_place);
  EXPECT_TRUE((*FindResumePoint(run, run))->in_place);
  EXPECT_TRUE((*FindResumePoint(run + "/checkpoint/step-00000020/", run))->in_place);
  EXPECT_EQ((*FindResumePoint(run + "/checkpoint/step-00000010", other))->checkpoint,
            run + "/checkpoint/step-00000010");
  // Going on from an older one here would put two histories into one folder.
  EXPECT_EQ(FindResumePoint(run + "/checkpoint/step-00000010", run).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FindResumePoint(folder, run).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindResumePoint(folder + "/absent", run).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace
