// One plan, many processes: trainers with some of the ranks each give what one trainer with all of them gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "proto/checkpoint.pb.h"
#include "proto/text_proto.h"
#include "proto/trace.pb.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/job/trainer.h"
#include "runtime/plan/plan.h"
#include "tests/runtime/data/files.h"
#include "tests/runtime/job/processes.h"
#include "tests/runtime/job/toy_runs.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Outcome = absl::StatusOr<RunResults>;

// `prepare` may change what a process is given.
std::vector<Outcome> TrainAs(const proto::ExecutionPlan& plan, const proto::JobConfig& config, const Split& split,
                             const std::function<void(size_t, proto::JobConfig*, TrainerOptions*)>& prepare = {}) {
  std::vector<Outcome> outcomes(split.size(), absl::UnknownError("did not run"));
  const MakeCommunicatorFn make = JoinedCommunicators(plan.ranks_size());
  RunProcesses(split, [&](size_t i) {
    proto::JobConfig job = config;
    TrainerOptions options = ToyTrainerOptions();
    options.here = split[i];
    options.make_communicator = make;
    if (prepare) prepare(i, &job, &options);
    outcomes[i] = TrainToy(plan, job, options);
  });
  return outcomes;
}

// Every file under a run's folder that must be the same, byte for byte. Times are left out, and so is the job, which
// names the folder.
std::map<std::string, std::string> Repeatable(const std::string& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    const std::string name = fs::relative(entry.path(), run).string();
    if (entry.is_directory()) files[name] = "folder";
    if (!entry.is_regular_file()) continue;
    files[name] = Contents(entry.path().string());
    if (name == "metrics.csv") files[name] = ::testing::PrintToString(Curve(run));
    if (name == "summary.json" || name == "job.pb" || name.substr(0, 5) == "trace") files[name] = "there";
    if (entry.path().filename() == kManifestName) {
      proto::CheckpointManifest manifest;
      EXPECT_TRUE(ReadMessage(entry.path().string(), &manifest).ok());
      manifest.clear_job();
      manifest.clear_digest();
      files[name] = manifest.DebugString();
    }
  }
  return files;
}

struct Case {
  int ranks;
  Split split;
};

class Spmd : public ::testing::TestWithParam<Case> {
 protected:
  const proto::ExecutionPlan plan_ = SealedToyPlan(4, GetParam().ranks);
  const Split split_ = GetParam().split;
  const std::string folder_ = FreshFolder();
};

TEST_P(Spmd, TheFolderIsTheSame) {
  proto::JobConfig config = ToyConfig(folder_ + "/one");
  config.set_checkpoint_every(5);
  config.set_trace_every(6);
  config.set_eval_every(6);
  const Outcome one = TrainToy(plan_, config);
  ASSERT_TRUE(one.ok()) << one.status();
  config.set_out_dir(folder_ + "/many");
  std::atomic<int> steps_seen = 0;
  for (const Outcome& outcome : TrainAs(plan_, config, split_, [&](size_t, auto*, TrainerOptions* options) {
         options->on_step = [&](const StepReport& report) { steps_seen += report.loss > 0 ? 1 : 0; };
       })) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->weights_sha256, one->weights_sha256);
    EXPECT_EQ(outcome->final_loss, one->final_loss);
    EXPECT_EQ(outcome->held_out_before, one->held_out_before);
    EXPECT_EQ(outcome->held_out_after, one->held_out_after);
    EXPECT_EQ(outcome->steps, 12);
    EXPECT_EQ(outcome->optimizer_steps, 12);
  }
  EXPECT_EQ(steps_seen, 12 * split_.size());
  EXPECT_EQ(Repeatable(folder_ + "/many"), Repeatable(folder_ + "/one"));
  proto::StepTrace one_trace, many_trace;
  ASSERT_TRUE(ReadMessage(folder_ + "/one/trace-step-00000006.pb", &one_trace).ok());
  ASSERT_TRUE(ReadMessage(folder_ + "/many/trace-step-00000006.pb", &many_trace).ok());
  EXPECT_EQ(many_trace.spans_size(), one_trace.spans_size());
  EXPECT_GT(many_trace.step_seconds(), 0);
}

TEST_P(Spmd, AStopInOneProcessStopsAllAndAnyNumberResumes) {
  const Outcome whole = TrainToy(plan_, ToyConfig(folder_ + "/whole"));
  ASSERT_TRUE(whole.ok()) << whole.status();
  std::atomic<bool> stop = false;
  const auto last_is_told = [&](size_t process, proto::JobConfig*, TrainerOptions* options) {
    if (process + 1 != split_.size()) return;
    options->stop = &stop;
    options->on_step = [&stop](const StepReport& report) { stop = report.step >= 5; };
  };
  proto::JobConfig config = ToyConfig(folder_ + "/parts");
  // A wish that comes between two steps is heard in the next one; a single process hears it at once.
  const std::string stopped_at = split_.size() > 1 ? "step-00000006" : "step-00000005";
  for (const Outcome& outcome : TrainAs(plan_, config, split_, last_is_told)) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kCancelled) << outcome.status();
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr(stopped_at));
  }
  fs::copy(folder_ + "/parts", folder_ + "/again", fs::copy_options::recursive);
  config.set_resume("auto");
  for (const Outcome& outcome : TrainAs(plan_, config, split_)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->weights_sha256, whole->weights_sha256);
    EXPECT_EQ(outcome->held_out_after, whole->held_out_after);
    EXPECT_NEAR(outcome->held_out_before, whole->held_out_before, 1e-8);  // read back from the table
  }
  EXPECT_EQ(Curve(folder_ + "/parts"), Curve(folder_ + "/whole"));
  config.set_out_dir(folder_ + "/again");
  const Outcome alone = TrainToy(plan_, config);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->weights_sha256, whole->weights_sha256);
  EXPECT_EQ(Curve(folder_ + "/again"), Curve(folder_ + "/whole"));
}

TEST_P(Spmd, ManyResumeWhatOneSaved) {
  const Outcome whole = TrainToy(plan_, ToyConfig(folder_ + "/whole"));
  proto::JobConfig config = ToyConfig(folder_ + "/run", 7);
  ASSERT_TRUE(TrainToy(plan_, config).ok());
  config.set_steps(12);
  config.set_resume("auto");
  const auto root_alone_knows = [&](size_t process, proto::JobConfig* job, TrainerOptions*) {
    if (process == 0) return;
    job->set_resume("");
    job->set_out_dir(folder_ + "/unused");
  };
  for (const Outcome& outcome : TrainAs(plan_, config, split_, root_alone_knows)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->weights_sha256, whole->weights_sha256);
  }
  EXPECT_EQ(Curve(folder_ + "/run"), Curve(folder_ + "/whole"));
  EXPECT_FALSE(fs::exists(folder_ + "/unused"));
}

TEST_P(Spmd, ADamagedFileOfOneRankIsEveryProcesssError) {
  proto::JobConfig config = ToyConfig(folder_ + "/run", 6);
  ASSERT_TRUE(TrainToy(plan_, config).ok());
  const std::string file =
      folder_ + "/run/checkpoint/step-00000006/rank-000" + std::to_string(plan_.ranks_size() - 1) + ".bin";
  std::string bytes = Contents(file);
  bytes[bytes.size() / 2] ^= 1;
  Write(file, bytes);
  config.set_steps(12);
  config.set_resume(folder_ + "/run/checkpoint/step-00000006");
  config.set_out_dir(folder_ + "/next");
  for (const Outcome& outcome : TrainAs(plan_, config, split_)) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kDataLoss) << outcome.status();
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("wrong CRC32C"));
  }
}

TEST_P(Spmd, TheFirstErrorOfARankIsEveryProcesss) {
  const int failing = plan_.ranks_size() - 1;
  const auto one_fails = [&](size_t, proto::JobConfig*, TrainerOptions* options) {
    options->open_device = ToyTrainerOptions({.failing_op = "Mul", .failing_run = 9}, failing).open_device;
  };
  for (const Outcome& outcome : TrainAs(plan_, ToyConfig(folder_ + "/run"), split_, one_fails)) {
    EXPECT_FALSE(outcome.ok());
    if (failing > 0) {
      EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("rank " + std::to_string(failing)));
    }
  }
  EXPECT_FALSE(fs::exists(folder_ + "/run/weights.safetensors"));
}

TEST_P(Spmd, ADeviceThatDoesNotOpenEndsAllBeforeAnythingIsWritten) {
  const int failing = plan_.ranks_size() - 1;
  const auto one_has_none = [&](size_t, proto::JobConfig*, TrainerOptions* options) {
    options->open_device = [failing](absl::string_view, int rank,
                                     const DeviceOptions&) -> absl::StatusOr<std::unique_ptr<Device>> {
      if (rank == failing) return absl::NotFoundError("no device left");
      return std::make_unique<ToyDevice>(ToyDeviceOptions{});
    };
  };
  for (const Outcome& outcome : TrainAs(plan_, ToyConfig(folder_ + "/run"), split_, one_has_none)) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kNotFound) << outcome.status();
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("no device left"));
  }
  EXPECT_FALSE(fs::exists(folder_ + "/run/plan.pb"));
  EXPECT_TRUE(TrainToy(plan_, ToyConfig(folder_ + "/run")).ok());
}

TEST_P(Spmd, WhatTheRootRefusesAllRefuse) {
  ASSERT_TRUE(TrainToy(plan_, ToyConfig(folder_ + "/run", 3)).ok());
  for (const Outcome& outcome : TrainAs(plan_, ToyConfig(folder_ + "/run"), split_)) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kAlreadyExists) << outcome.status();
  }
  proto::JobConfig config = ToyConfig(folder_ + "/other");
  config.set_resume(folder_ + "/nowhere");
  for (const Outcome& outcome : TrainAs(plan_, config, split_)) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kNotFound) << outcome.status();
  }
  EXPECT_FALSE(fs::exists(folder_ + "/other"));
}

TEST_P(Spmd, WhatOneProcessCannotReadEndsAll) {
  const auto last_has_no_data = [&](size_t process, proto::JobConfig* job, TrainerOptions*) {
    if (process + 1 == split_.size()) job->mutable_data()->set_path(folder_ + "/missing.txt");
  };
  for (const Outcome& outcome : TrainAs(plan_, ToyConfig(folder_ + "/run"), split_, last_has_no_data)) {
    EXPECT_FALSE(outcome.ok());
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("missing.txt"));
  }
  EXPECT_FALSE(fs::exists(folder_ + "/run"));
}

INSTANTIATE_TEST_SUITE_P(Splits, Spmd,
                         ::testing::Values(Case{1, {{0}}}, Case{2, {{0, 1}}}, Case{2, OneEach(2)}, Case{4, OneEach(4)},
                                           Case{4, {{0, 2}, {1, 3}}}, Case{4, {{0}, {1, 2, 3}}}),
                         [](const auto& info) {
                           std::string name;
                           for (const auto& process : info.param.split) {
                             name += name.empty() ? "Ranks" : "And";
                             for (int rank : process) name += std::to_string(rank);
                           }
                           return name;
                         });

TEST(SpmdRun, RanksSayWhereTheyStandAndForWhomTheyWait) {
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  const proto::Program& train = *FindProgram(plan, "train");
  proto::JobConfig config = ToyConfig(FreshFolder() + "/run", 2);
  config.set_eval_micro_batches(0);
  struct Noted {
    Standpoint stand;
    std::string action;  // its text lives no longer than the ranks
  };
  std::vector<std::vector<Noted>> stood(2);
  TrainerOptions options = ToyTrainerOptions();
  options.make_stand = [&](int rank) {
    return [&stood, rank](const Standpoint& stand) { stood[rank].push_back({stand, std::string(stand.action)}); };
  };
  ASSERT_TRUE(TrainToy(plan, config, options).ok());
  for (int rank = 0; rank < 2; ++rank) {
    int waits = 0;
    for (const auto& [stand, action] : stood[rank]) {
      if (stand.instruction < 0) continue;  // between programs
      const proto::Instruction& own = train.ranks(rank).instructions(stand.instruction);
      EXPECT_TRUE(absl::StartsWith(action, proto::Instruction::Kind_Name(own.kind()))) << action;
      if (stand.peer == kEveryRank) EXPECT_EQ(own.kind(), proto::Instruction::NORM);
      if (stand.peer < 0) continue;
      EXPECT_EQ(stand.peer, 1 - rank);
      ASSERT_GE(stand.peer_instruction, 0);
      const proto::Instruction& other = train.ranks(stand.peer).instructions(stand.peer_instruction);
      if (stand.edge.empty()) {  // a collective
        EXPECT_EQ(own.kind(), other.kind());
        EXPECT_EQ(own.bucket(), other.bucket());
        continue;
      }
      ++waits;
      EXPECT_NE(own.kind(), other.kind());
      EXPECT_EQ(own.edge(), other.edge());
      EXPECT_EQ(own.micro_batch(), other.micro_batch());
      EXPECT_EQ(std::string(stand.edge), train.edges(own.edge()).name());
      EXPECT_EQ(stand.micro_batch, own.micro_batch());
    }
    EXPECT_GT(waits, 0);
    EXPECT_GE(stood[rank].size(), 2 * train.ranks(rank).instructions_size());
  }
}

TEST(SpmdRun, AnotherPlanOrSeedInOneProcessIsRefusedByAll) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  for (const Outcome& outcome :
       TrainAs(plan, ToyConfig(folder + "/run"), OneEach(2),
               [](size_t process, proto::JobConfig*job, auto*) { job->set_seed(process + 1); })) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("the job is not the same"));
  }
  const proto::ExecutionPlan other = SealedToyPlan(3, 2);
  std::vector<Outcome> outcomes(2, absl::UnknownError(""));
  const MakeCommunicatorFn make = JoinedCommunicators(2);
  RunProcesses(OneEach(2), [&](size_t i) {
    TrainerOptions options = ToyTrainerOptions();
    options.here = {static_cast<int>(i)};
    options.make_communicator = make;
    outcomes[i] = TrainToy(i == 0 ? plan : other, ToyConfig(folder + "/run"), options);
  });
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr(plan.hash()));
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr(other.hash()));
  }
  EXPECT_FALSE(fs::exists(folder + "/run"));
}

}  // namespace
}  // namespace millrace
