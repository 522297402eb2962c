#include "runtime/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "proto/text_proto.h"
#include "runtime/checkpoint/checksums.h"
#include "runtime/checkpoint/find.h"
#include "runtime/checkpoint/manifest.h"
#include "tests/runtime/checkpoint/memory_store.h"
#include "tests/runtime/data/files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kPlan[] = "aaaa";

proto::CheckpointManifest Facts(uint64_t step) {
  proto::CheckpointManifest facts;
  facts.set_plan_hash(kPlan);
  facts.set_step(step);
  facts.set_optimizer_steps(step - 1);
  facts.set_samples_consumed(step * 8);
  facts.set_data_description("text of a test");
  return facts;
}

std::string Save(const std::string& root, uint64_t step, const MemoryStore& store) {
  const auto folder = SaveCheckpoint(root, Facts(step), 2, store);
  EXPECT_TRUE(folder.ok()) << folder.status();
  return folder.ok() ? *folder : "";
}

// Seals what a test has changed on purpose, so that only the change itself can be the reason of a refusal.
void Rewrite(const std::string& folder, const std::function<void(proto::CheckpointManifest*)>& change) {
  const std::string path = folder + "/" + kManifestName;
  proto::CheckpointManifest manifest;
  ASSERT_TRUE(ReadMessage(path, &manifest).ok());
  change(&manifest);
  manifest.set_digest(ManifestDigest(manifest));
  ASSERT_TRUE(WriteMessage(path, manifest).ok());
}

TEST(Checksums, Crc32cIsCastagnoli) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
  EXPECT_EQ(Crc32c("6789", 4, Crc32c("12345", 5)), 0xe3069283u);
}

TEST(Checkpoint, RoundTrip) {
  const std::string root = FreshFolder() + "/checkpoint";
  const MemoryStore saved = SmallStore(1);
  const std::string folder = Save(root, 100, saved);
  EXPECT_EQ(folder, root + "/step-00000100");
  MemoryStore restored = SmallStore(50);
  const auto manifest = LoadCheckpoint(folder, kPlan, &restored);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(restored.contents, saved.contents);
  EXPECT_EQ(manifest->step(), 100);
  EXPECT_EQ(manifest->optimizer_steps(), 99);
  EXPECT_EQ(manifest->samples_consumed(), 800);
  EXPECT_EQ(manifest->data_description(), "text of a test");
  EXPECT_EQ(manifest->files_size(), 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(root), {}), 1) << "a temporary folder was left behind";
}

TEST(Checkpoint, SavingAStepAgainReplacesIt) {
  const std::string root = FreshFolder();
  Save(root, 7, SmallStore(1));
  const std::string folder = Save(root, 7, SmallStore(2));
  MemoryStore restored = SmallStore(50);
  ASSERT_TRUE(LoadCheckpoint(folder, kPlan, &restored).ok());
  EXPECT_EQ(restored.contents, SmallStore(2).contents);
  EXPECT_EQ(std::distance(fs::directory_iterator(root), {}), 1);
}

TEST(Checkpoint, EveryFlippedBitIsRefused) {
  const std::string folder = Save(FreshFolder(), 3, SmallStore(1));
  int flips = 0;
  for (const std::string name : {kManifestName, "rank-0000.bin", "rank-0001.bin"}) {
    const std::string path = folder + "/" + name, original = Contents(path);
    ASSERT_FALSE(original.empty());
    for (size_t i = 0; i < original.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit, ++flips) {
        std::string flipped = original;
        flipped[i] ^= 1 << bit;
        Write(path, flipped);
        MemoryStore store = SmallStore(50);
        ASSERT_FALSE(LoadCheckpoint(folder, kPlan, &store).ok()) << name << " byte " << i << " bit " << bit;
        ASSERT_EQ(store.writes, 0) << "written before everything was verified";
      }
    }
    Write(path, original);
  }
  EXPECT_GT(flips, 4000);
  EXPECT_TRUE(VerifyCheckpoint(folder).ok());
}

TEST(Checkpoint, EveryTruncationAndExtensionIsRefused) {
  const std::string folder = Save(FreshFolder(), 3, SmallStore(1));
  for (const std::string name : {kManifestName, "rank-0000.bin", "rank-0001.bin"}) {
    const std::string path = folder + "/" + name, original = Contents(path);
    for (size_t size = 0; size < original.size(); ++size) {
      Write(path, original.substr(0, size));
      ASSERT_FALSE(VerifyCheckpoint(folder).ok()) << name << " cut to " << size;
    }
    Write(path, original + '\0');
    EXPECT_FALSE(VerifyCheckpoint(folder).ok()) << name;
    Write(path, original);
  }
}

TEST(Checkpoint, MissingSwappedAndUnknownFilesAreRefused) {
  const std::string root = FreshFolder();
  MemoryStore even;  // two ranks with files of equal size
  even.Add("a", proto::F32, {4}, 0, 1);
  even.Add("b", proto::F32, {4}, 1, 2);
  const std::string folder = Save(root, 3, even);
  const std::string a = folder + "/rank-0000.bin", b = folder + "/rank-0001.bin";
  fs::rename(a, folder + "/x");
  fs::rename(b, a);
  fs::rename(folder + "/x", b);
  EXPECT_THAT(VerifyCheckpoint(folder).status().message(), HasSubstr("wrong CRC32C of tensor a"));
  fs::rename(a, folder + "/x");
  EXPECT_FALSE(VerifyCheckpoint(folder).ok());
  fs::rename(b, a);
  fs::rename(folder + "/x", b);
  EXPECT_TRUE(VerifyCheckpoint(folder).ok());
  Write(folder + "/extra", "");
  EXPECT_THAT(VerifyCheckpoint(folder).status().message(), HasSubstr("holds extra"));
  fs::remove(folder + "/extra");
  fs::rename(a, root + "/elsewhere");
  fs::create_symlink(root + "/elsewhere", a);
  EXPECT_FALSE(VerifyCheckpoint(folder).ok()) << "a symbolic link was followed";
}

TEST(Checkpoint, AnotherPlanIsAPreconditionThatNamesBoth) {
  const std::string folder = Save(FreshFolder(), 3, SmallStore(1));
  MemoryStore store = SmallStore(50);
  const auto status = LoadCheckpoint(folder, "bbbb", &store).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("aaaa"));
  EXPECT_THAT(status.message(), HasSubstr("bbbb"));
}

TEST(Checkpoint, OtherTensorsAreRefused) {
  const std::string folder = Save(FreshFolder(), 3, SmallStore(1));
  MemoryStore more = SmallStore(1);
  more.Add("new", proto::F32, {1}, 0, 9);
  EXPECT_THAT(LoadCheckpoint(folder, kPlan, &more).status().message(), HasSubstr("lacks tensor new"));
  MemoryStore other;
  other.Add("wte", proto::F32, {3, 5}, 0, 1);
  EXPECT_THAT(LoadCheckpoint(folder, kPlan, &other).status().message(), HasSubstr("another type"));
}

struct Hostile {
  std::string name;
  std::function<void(proto::CheckpointManifest*)> change;
};

class HostileManifest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileManifest, IsRefusedEvenWithAGoodDigest) {
  const std::string folder = Save(FreshFolder(), 3, SmallStore(1));
  Rewrite(folder, GetParam().change);
  EXPECT_FALSE(VerifyCheckpoint(folder).ok());
}

using M = proto::CheckpointManifest;
INSTANTIATE_TEST_SUITE_P(
    All, HostileManifest,
    ::testing::Values(
        Hostile{"Version", [](M* m) { m->set_schema_version(2); }},
        Hostile{"Separator", [](M* m) { m->mutable_files(0)->set_name("../step-00000003/rank-0000.bin"); }},
        Hostile{"Absolute", [](M* m) { m->mutable_files(0)->set_name("/etc/passwd"); }},
        Hostile{"Dots", [](M* m) { m->mutable_files(0)->set_name(".."); }},
        Hostile{"EmptyName", [](M* m) { m->mutable_files(0)->set_name(""); }},
        Hostile{"Twice", [](M* m) { *m->add_files() = m->files(0); }},
        Hostile{"NoFiles", [](M* m) { m->clear_files(); }},
        Hostile{"HugeFile", [](M* m) { m->mutable_files(0)->set_bytes(uint64_t{1} << 62); }},
        Hostile{"HugePiece", [](M* m) { m->mutable_pieces(0)->set_bytes(uint64_t{1} << 62); }},
        Hostile{"HugeDims",
                [](M* m) {
                  m->mutable_pieces(0)->mutable_type()->set_dims(0, int64_t{1} << 62);
                  m->mutable_pieces(0)->mutable_type()->set_dims(1, 64);
                }},
        Hostile{"NegativeDim", [](M* m) { m->mutable_pieces(0)->mutable_type()->set_dims(0, -5); }},
        Hostile{"NoType", [](M* m) { m->mutable_pieces(0)->clear_type(); }},
        Hostile{"UnknownType", [](M* m) { m->mutable_pieces(0)->mutable_type()->set_dtype(proto::DataType(99)); }},
        Hostile{"Overlap", [](M* m) { m->mutable_pieces(1)->set_offset(0); }},
        Hostile{"Outside", [](M* m) { m->mutable_pieces(1)->set_offset(uint64_t{0} - 4); }},
        Hostile{"Hole", [](M* m) { m->mutable_pieces()->DeleteSubrange(0, 1); }},
        Hostile{"EndsEarly", [](M* m) { m->mutable_pieces(0)->set_end(14); }},
        Hostile{"BeginAfterEnd", [](M* m) { m->mutable_pieces(0)->set_begin(16); }},
        Hostile{"UnlistedFile", [](M* m) { m->mutable_pieces(0)->set_file("rank-0009.bin"); }},
        Hostile{"SameTensorTwice", [](M* m) { m->mutable_pieces(1)->set_name(m->pieces(0).name()); }},
        Hostile{"OtherCrc", [](M* m) { m->mutable_pieces(0)->set_crc32c(1); }},
        Hostile{"OtherSha", [](M* m) { m->mutable_files(0)->set_sha256("x"); }}),
    [](const auto& info) { return info.param.name; });

TEST(NewestCheckpoint, ABrokenOneIsReportedAndThePreviousIsUsed) {
  const std::string root = FreshFolder();
  Save(root, 100, SmallStore(1));
  Save(root, 200, SmallStore(2));
  const std::string newest = Save(root, 300, SmallStore(3));
  EXPECT_EQ(NewestCheckpoint(root)->path, newest);
  Write(newest + "/rank-0000.bin", "gone");
  fs::remove(root + "/step-00000200/" + kManifestName);
  const auto found = NewestCheckpoint(root);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, root + "/step-00000100");
  ASSERT_EQ(found->broken.size(), 2u);
  EXPECT_THAT(found->broken[0], HasSubstr("step-00000300/rank-0000.bin"));
  EXPECT_THAT(found->broken[1], HasSubstr("step-00000200"));
  fs::remove(root + "/step-00000100/rank-0001.bin");
  EXPECT_EQ(NewestCheckpoint(root).status().code(), absl::StatusCode::kDataLoss);
}

TEST(NewestCheckpoint, OtherNamesAndRenamedFoldersDoNotCount) {
  const std::string root = FreshFolder();
  EXPECT_EQ(NewestCheckpoint(root).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(NewestCheckpoint(root + "/absent").status().code(), absl::StatusCode::kNotFound);
  const std::string folder = Save(root, 100, SmallStore(1));
  fs::copy(folder, root + "/step-00000100.tmp.77");
  fs::copy(folder, root + "/my-copy");
  fs::copy(folder, root + "/step-200");
  EXPECT_EQ(ListCheckpoints(root)->size(), 1u);
  fs::rename(folder, root + "/step-00000900");
  EXPECT_EQ(NewestCheckpoint(root).status().code(), absl::StatusCode::kDataLoss);
}

TEST(KeepNewest, RemovesOlderOnesAndLeftoversAndNothingElse) {
  const std::string root = FreshFolder();
  for (int step : {100, 200, 300, 400}) Save(root, step, SmallStore(step));
  fs::copy(root + "/step-00000100", root + "/step-00000500.tmp.77");
  fs::copy(root + "/step-00000100", root + "/mine");
  ASSERT_TRUE(KeepNewest(root, 0).ok());
  EXPECT_EQ(ListCheckpoints(root)->size(), 4u);
  EXPECT_FALSE(fs::exists(root + "/step-00000500.tmp.77"));
  ASSERT_TRUE(KeepNewest(root, 2).ok());
  EXPECT_EQ(ListCheckpoints(root)->size(), 2u);
  EXPECT_EQ(NewestCheckpoint(root)->path, root + "/step-00000400");
  EXPECT_TRUE(fs::exists(root + "/mine"));
  // A newest one that is broken keeps the others alive.
  Write(root + "/step-00000400/rank-0000.bin", "");
  EXPECT_FALSE(KeepNewest(root, 1).ok());
  EXPECT_EQ(ListCheckpoints(root)->size(), 2u);
}

TEST(Checkpoint, AFailedSaveLeavesNothingAndTouchesNothing) {
  class Failing : public MemoryStore {
    absl::Status Read(int tensor, void* memory, uint64_t bytes) const override {
      return tensor == 1 ? absl::UnavailableError("rank 1 is gone") : MemoryStore::Read(tensor, memory, bytes);
    }
  };
  const std::string root = FreshFolder();
  Save(root, 100, SmallStore(1));
  Failing failing;
  failing.Add("a", proto::F32, {4}, 0, 1);
  failing.Add("b", proto::F32, {4}, 1, 2);
  EXPECT_EQ(SaveCheckpoint(root, Facts(200), 2, failing).status().message(), "rank 1 is gone");
  EXPECT_EQ(SaveCheckpoint(root, Facts(100), 2, failing).status().message(), "rank 1 is gone");
  EXPECT_EQ(std::distance(fs::directory_iterator(root), {}), 1);
  EXPECT_TRUE(VerifyCheckpoint(root + "/step-00000100").ok());
}

}  // namespace
}  // namespace millrace
