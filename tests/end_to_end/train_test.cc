// A small GPT-2 of bytes from graph to text: partitioned, trained, stopped, resumed, compared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "partitioner/graph/gpt2.h"
#include "proto/text_proto.h"
#include "runtime/job/balance.h"
#include "runtime/job/job_config.h"
#include "runtime/job/parity.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/trainer.h"
#include "runtime/plan/simulate.h"
#include "tests/parity/run_plan.h"
#include "tests/runtime/data/files.h"
#include "tests/runtime/job/processes.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

proto::Model Model() {
  Gpt2Options options;
  options.layers = 2;
  options.heads = 2;
  options.width = 16;
  options.vocabulary = 256;
  options.context = 16;
  options.dropout = 0.1;
  return *MakeGpt2(options);
}

proto::ExecutionPlan Plan(int pp) {
  PartitionOptions options = OptionsFor("reference", pp);
  options.micro_batch = 2;
  options.micro_batches = 4;
  const auto plan = PlanFor(Model(), options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : proto::ExecutionPlan();
}

proto::JobConfig Config(const std::string& folder, const std::string& out) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the quick brown fox jumps over the lazy dog\n";
  proto::JobConfig config = DefaultJobConfig();
  config.set_steps(20);
  config.set_out_dir(folder + "/" + out);
  config.mutable_data()->set_path(Write(folder + "/fox.txt", text));
  config.mutable_learning_rate()->set_peak(1e-2);
  config.mutable_learning_rate()->set_decay_steps(20);
  config.set_eval_micro_batches(8);
  config.set_checkpoint_every(8);
  config.set_sample_bytes(10);
  config.set_sample_prompt("the ");
  return config;
}

absl::StatusOr<RunResults> Train(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                 const TrainerOptions& options = {}) {
  const proto::Model model = Model();
  auto trainer = Trainer::Create(plan, &model, config, options);
  if (!trainer.ok()) return trainer.status();
  return (*trainer)->Run();
}

TEST(EndToEnd, LearnsSpeaksAndResumesBitForBit) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan one = Plan(1), two = Plan(2);
  ASSERT_GT(one.ranks_size() * two.ranks_size(), 0);
  EXPECT_EQ(VocabularyOf(two), 256);
  EXPECT_GT(FlopsOf(two.programs(0)), 0);
  const auto whole = Train(one, Config(folder, "one"));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_LT(whole->held_out_after, whole->held_out_before - 0.5);
  EXPECT_NEAR(whole->held_out_before, 5.545, 0.1);  // log 256
  EXPECT_THAT(whole->sample, StartsWith("the "));
  EXPECT_EQ(whole->sample.size(), 14u);
  EXPECT_EQ(Contents(folder + "/one/sample.txt"), whole->sample);
  EXPECT_TRUE(fs::exists(folder + "/one/model.pb"));

  std::atomic<bool> stop = false;
  TrainerOptions options;
  options.stop = &stop;
  options.on_step = [&](const StepReport& report) { stop = report.step == 13; };
  proto::JobConfig config = Config(folder, "two");
  EXPECT_EQ(Train(two, config, options).status().code(), absl::StatusCode::kCancelled);
  config.set_resume("auto");
  const auto resumed = Train(two, config);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->weights_sha256, whole->weights_sha256);
  EXPECT_EQ(resumed->held_out_after, whole->held_out_after);
  EXPECT_EQ(resumed->sample, whole->sample);

  proto::StepTrace predicted, measured;
  ASSERT_TRUE(ReadMessage(folder + "/two/predicted.pb", &predicted).ok());
  ASSERT_TRUE(ReadMessage(folder + "/two/trace-step-00000020.pb", &measured).ok());
  const auto balance = MakeBalance(two, predicted, measured);
  ASSERT_TRUE(balance.ok()) << balance.status();
  EXPECT_GT(balance->ranks[1].measured.busy_seconds, 0);
  EXPECT_GT(balance->ranks[0].memory.parameters, 256u * 16 * 4);
}

TEST(EndToEnd, TwoProcessesSayWhatOneSays) {
  const std::string folder = FreshFolder();
  const proto::ExecutionPlan plan = Plan(2);
  const auto one = Train(plan, Config(folder, "one"));
  ASSERT_TRUE(one.ok()) << one.status();
  const proto::JobConfig config = Config(folder, "two");
  const MakeCommunicatorFn make = JoinedCommunicators(2);
  std::vector<absl::StatusOr<RunResults>> results(2, absl::UnknownError("did not run"));
  RunProcesses(OneEach(2), [&](size_t i) {
    TrainerOptions options;
    options.here = {static_cast<int>(i)};
    options.make_communicator = make;
    results[i] = Train(plan, config, options);
  });
  for (const auto& result : results) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->weights_sha256, one->weights_sha256);
    EXPECT_EQ(result->held_out_after, one->held_out_after);
    EXPECT_EQ(result->sample, one->sample);
  }
  EXPECT_EQ(Contents(folder + "/two/weights.safetensors"), Contents(folder + "/one/weights.safetensors"));
  EXPECT_EQ(Contents(folder + "/two/sample.txt"), one->sample);

  proto::StepTrace predicted, measured;
  ASSERT_TRUE(ReadMessage(folder + "/two/predicted.pb", &predicted).ok());
  ASSERT_TRUE(ReadMessage(folder + "/two/trace-step-00000020.pb", &measured).ok());
  const auto balance = MakeBalance(plan, predicted, measured);
  ASSERT_TRUE(balance.ok()) << balance.status();
  EXPECT_GT(balance->ranks[0].measured.busy_seconds, 0);
  EXPECT_GT(balance->ranks[1].measured.busy_seconds, 0);
}

TEST(EndToEnd, EveryGradientAndWeightIsEqualToOneStage) {
  const std::string folder = FreshFolder();
  const auto report = CompareParity(Plan(2), Plan(1), Config(folder, "unused"), {.steps = 2});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->equal()) << report->ToString();
  EXPECT_GT(report->tensors, 60u);
  EXPECT_FALSE(fs::exists(folder + "/unused"));
}

}  // namespace
}  // namespace millrace
