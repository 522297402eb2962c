// The trainer on hand-made plans and toy devices: what it writes, how it stops, resumes and fails.
#include "runtime/job/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "proto/text_proto.h"
#include "runtime/checkpoint/find.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/checkpoint/weights.h"
#include "tests/runtime/data/files.h"
#include "tests/runtime/job/toy_runs.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(Trainer, WritesTheWholeFolder) {
  const std::string out = FreshFolder() + "/run";
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  proto::JobConfig config = ToyConfig(out);
  config.set_checkpoint_every(5);
  config.set_trace_every(6);
  config.set_eval_every(6);
  std::ostringstream progress;
  TrainerOptions options = ToyTrainerOptions();
  options.progress = &progress;
  int steps_seen = 0;
  options.on_step = [&](const StepReport& report) { EXPECT_EQ(report.step, ++steps_seen); };
  const auto results = TrainToy(plan, config, options);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(steps_seen, 12);
  EXPECT_EQ(results->steps, 12);
  EXPECT_EQ(results->optimizer_steps, 12);
  EXPECT_LT(results->held_out_after, results->held_out_before);
  for (const std::string name :
       {"plan.pb", "job.pb", "predicted.pb", "trace-step-00000006.pb", "trace-step-00000012.pb", "weights.safetensors",
        "summary.json", "metrics.csv", "held_out.csv"}) {
    EXPECT_TRUE(fs::exists(out + "/" + name)) << name;
  }
  EXPECT_EQ(Curve(out).size(), 13u);
  EXPECT_EQ(Curve(out)[0], "step,loss,grad_norm,learning_rate,tokens,skipped,");
  EXPECT_THAT(progress.str(), HasSubstr("step 12/12  loss "));
  EXPECT_THAT(progress.str(), HasSubstr("held-out loss after step 0"));
  const auto checkpoints = ListCheckpoints(out + "/checkpoint");
  ASSERT_EQ(checkpoints->size(), 2u);  // checkpoints_kept
  EXPECT_EQ((*checkpoints)[0].step, 12);
  EXPECT_EQ((*checkpoints)[1].step, 10);

  const auto json = nlohmann::json::parse(Contents(out + "/summary.json"));
  const auto weights = SafetensorsFile::Open(out + "/weights.safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->tensors().size(), 2u);
  EXPECT_EQ(json["weights_sha256"], *WeightsDigest(**weights));
  EXPECT_EQ(json["held_out_after"].get<double>(), results->held_out_after);
  proto::JobConfig written;
  ASSERT_TRUE(ReadMessage(out + "/job.pb", &written).ok());
  EXPECT_EQ(written.steps(), 12);
  proto::ExecutionPlan plan_written;
  ASSERT_TRUE(ReadMessage(out + "/plan.pb", &plan_written).ok());
  EXPECT_EQ(CanonicalBytes(plan_written), CanonicalBytes(plan));
  for (const std::string name : {"predicted.pb", "trace-step-00000012.pb"}) {
    proto::StepTrace trace;
    ASSERT_TRUE(ReadMessage(out + "/" + name, &trace).ok());
    EXPECT_EQ(trace.plan_hash(), plan.hash());
    EXPECT_GT(trace.spans_size(), 10) << name;
  }
}

TEST(Trainer, SameSeedSameBitsForEveryCut) {
  const std::string folder = FreshFolder();
  const auto one = TrainToy(SealedToyPlan(4, 1), ToyConfig(folder + "/one"));
  const auto four = TrainToy(SealedToyPlan(4, 4), ToyConfig(folder + "/four"));
  ASSERT_TRUE(one.ok() && four.ok()) << one.status() << four.status();
  EXPECT_EQ(one->weights_sha256, four->weights_sha256);
  EXPECT_EQ(Curve(folder + "/one"), Curve(folder + "/four"));
  proto::JobConfig config = ToyConfig(folder + "/other");
  config.set_seed(2);
  const auto other = TrainToy(SealedToyPlan(4, 1), config);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->weights_sha256, one->weights_sha256);
}

class Resume : public ::testing::TestWithParam<std::string> {};

TEST_P(Resume, IsBitIdentical) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan plan = SealedToyPlan(3, 2, GetParam());
  const auto whole = TrainToy(plan, ToyConfig(folder + "/whole"));
  ASSERT_TRUE(whole.ok()) << whole.status();

  std::atomic<bool> stop = false;
  TrainerOptions options = ToyTrainerOptions();
  options.stop = &stop;
  options.on_step = [&](const StepReport& report) { stop = report.step == 5; };
  proto::JobConfig config = ToyConfig(folder + "/parts");
  config.set_checkpoint_every(4);
  const auto stopped = TrainToy(plan, config, options);
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(stopped.status().message(), HasSubstr("step-00000005"));
  EXPECT_THAT(stopped.status().message(), HasSubstr("--resume=auto"));

  // A crash would have left rows that no checkpoint promises.
  std::ofstream(folder + "/parts/metrics.csv", std::ios::app) << "6,99,99,99,99,99,99,99,99\n7,9";
  config.set_resume("auto");
  const auto resumed = TrainToy(plan, config);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->weights_sha256, whole->weights_sha256);
  EXPECT_NEAR(resumed->held_out_before, whole->held_out_before, 1e-8);  // read back from the table
  EXPECT_EQ(resumed->held_out_after, whole->held_out_after);
  EXPECT_EQ(Curve(folder + "/parts"), Curve(folder + "/whole"));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Resume, ::testing::Values("adamw", "sgd"));

TEST(Trainer, ResumesFromThePreviousCheckpointWhenTheNewestIsBroken) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  proto::JobConfig config = ToyConfig(folder + "/run");
  config.set_checkpoint_every(4);
  const auto whole = TrainToy(plan, config);
  ASSERT_TRUE(whole.ok()) << whole.status();
  Write(folder + "/run/checkpoint/step-00000012/rank-0001.bin", "damaged");
  config.set_resume("auto");
  auto trainer = Trainer::Create(plan, nullptr, config, ToyTrainerOptions());
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  EXPECT_EQ((*trainer)->first_step(), 8);
  const auto resumed = (*trainer)->Run();
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->weights_sha256, whole->weights_sha256);
}

TEST(Trainer, ContinuesAnotherRunInAFolderOfItsOwn) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan plan = SealedToyPlan(2, 1);
  ASSERT_TRUE(TrainToy(plan, ToyConfig(folder + "/first", 6)).ok());
  proto::JobConfig config = ToyConfig(folder + "/second");
  config.set_resume(folder + "/first");
  const auto second = TrainToy(plan, config);
  ASSERT_TRUE(second.ok()) << second.status();
  const auto whole = TrainToy(plan, ToyConfig(folder + "/whole"));
  EXPECT_EQ(second->weights_sha256, whole->weights_sha256);
  EXPECT_EQ(Curve(folder + "/second").size(), 7u);
}

TEST(Trainer, RefusesWhatDoesNotBelongTogether) {
  const std::string folder = FreshFolder(), out = folder + "/run";
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  ASSERT_TRUE(TrainToy(plan, ToyConfig(out, 3)).ok());
  const std::string metrics = Contents(out + "/metrics.csv");

  EXPECT_EQ(TrainToy(plan, ToyConfig(out)).status().code(), absl::StatusCode::kAlreadyExists);
  proto::JobConfig config = ToyConfig(out);
  config.set_resume("auto");
  absl::Status status = TrainToy(SealedToyPlan(2, 1), config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(plan.hash()));
  EXPECT_THAT(status.message(), HasSubstr(SealedToyPlan(2, 1).hash()));
  config.set_seed(99);
  EXPECT_EQ(TrainToy(plan, config).status().code(), absl::StatusCode::kFailedPrecondition);
  config = ToyConfig(folder + "/other");
  config.set_resume(folder + "/nowhere");
  EXPECT_EQ(TrainToy(plan, config).status().code(), absl::StatusCode::kNotFound);
  config = ToyConfig("");
  EXPECT_EQ(TrainToy(plan, config).status().code(), absl::StatusCode::kInvalidArgument);
  config = ToyConfig(folder + "/text");
  config.mutable_data()->set_path(Write(folder + "/a.txt", "text for a model of features"));
  EXPECT_THAT(TrainToy(plan, config).status().message(), HasSubstr("cannot be filled"));
  EXPECT_FALSE(fs::exists(folder + "/text"));
  EXPECT_EQ(Contents(out + "/metrics.csv"), metrics);
}

TEST(Trainer, ARunThatIsDoneIsDone) {
  const std::string out = FreshFolder() + "/run";
  const proto::ExecutionPlan plan = SealedToyPlan(2, 2);
  const auto first = TrainToy(plan, ToyConfig(out));
  ASSERT_TRUE(first.ok());
  const std::string metrics = Contents(out + "/metrics.csv");
  proto::JobConfig config = ToyConfig(out);
  config.set_resume("auto");
  const auto again = TrainToy(plan, config);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->weights_sha256, first->weights_sha256);
  EXPECT_NEAR(again->final_loss, first->final_loss, 1e-8);  // read back from the table
  EXPECT_EQ(Contents(out + "/metrics.csv"), metrics);
}

TEST(Trainer, TheFirstErrorOfARankEndsAllAndIsReportedWithItsRank) {
  const std::string out = FreshFolder() + "/run";
  const absl::Status status = TrainToy(SealedToyPlan(3, 3), ToyConfig(out),
                                       ToyTrainerOptions({.failing_op = "Mul", .failing_run = 9}, /*failing_rank=*/1))
                                  .status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("rank 1"));
}

}  // namespace
}  // namespace millrace
