#include "runtime/job/job_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace millrace {
namespace {

proto::ExecutionPlan Plan(const std::string& optimizer) {
  proto::ExecutionPlan plan;
  plan.set_optimizer(optimizer);
  plan.add_programs()->set_name("train");
  return plan;
}

proto::JobConfig Config() {
  proto::JobConfig config = DefaultJobConfig();
  config.set_out_dir("out");
  return config;
}

TEST(JobConfig, DefaultsPass) {
  EXPECT_TRUE(CheckJobConfig(Config(), Plan("adamw")).ok()) << CheckJobConfig(Config(), Plan("adamw"));
  EXPECT_TRUE(CheckJobConfig(Config(), Plan("sgd")).ok());
}

TEST(JobConfig, RefusesWithTheNameOfTheSetting) {
  const std::pair<std::string, std::function<void(proto::JobConfig*)>> cases[] = {
      {"--steps", [](auto* c) { c->set_steps(0); }},
      {"--out", [](auto* c) { c->clear_out_dir(); }},
      {"--beta1", [](auto* c) { c->mutable_optimizer()->set_beta1(1); }},
      {"--beta2", [](auto* c) { c->mutable_optimizer()->set_beta2(0); }},
      {"--epsilon", [](auto* c) { c->mutable_optimizer()->set_epsilon(0); }},
      {"--epsilon", [](auto* c) { c->mutable_optimizer()->set_epsilon(NAN); }},
      {"--weight-decay", [](auto* c) { c->mutable_optimizer()->set_weight_decay(-1); }},
      {"--weight-decay", [](auto* c) { c->mutable_optimizer()->set_weight_decay(INFINITY); }},
      {"--clip-norm", [](auto* c) { c->mutable_optimizer()->set_clip_norm(-1); }},
      {"--clip-norm", [](auto* c) { c->mutable_optimizer()->set_clip_norm(NAN); }},
      {"--sample-temperature", [](auto* c) { c->set_sample_temperature(-0.5); }},
      {"schedule", [](auto* c) { c->mutable_learning_rate()->set_schedule("triangle"); }},
  };
  for (const auto& [name, change] : cases) {
    proto::JobConfig config = Config();
    change(&config);
    const absl::Status status = CheckJobConfig(config, Plan("adamw"));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), ::testing::HasSubstr(name));
  }
  proto::JobConfig config = Config();
  config.mutable_optimizer()->set_momentum(1);
  EXPECT_TRUE(CheckJobConfig(config, Plan("adamw")).ok());
  EXPECT_FALSE(CheckJobConfig(config, Plan("sgd")).ok());
  EXPECT_FALSE(CheckJobConfig(Config(), proto::ExecutionPlan()).ok());
}

}  // namespace
}  // namespace millrace
