#include "runtime/job/job_config.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/optimizer/learning_rate.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr uint32_t kMostThreads = 4096;  // of one rank: more than any machine has cores

absl::Status Bad(absl::string_view setting, double value, absl::string_view must) {
  return absl::InvalidArgumentError(absl::StrCat(setting, " is ", value, "; it must be ", must));
}

absl::Status CheckOptimizer(const proto::OptimizerConfig& config, const std::string& optimizer) {
  if (!(config.weight_decay() >= 0 && std::isfinite(config.weight_decay()))) {
    return Bad("--weight-decay", config.weight_decay(), "0 or more");
  }
  if (!(config.clip_norm() >= 0)) return Bad("--clip-norm", config.clip_norm(), "0 (no clipping) or more");
  if (optimizer == "sgd") {
    if (!(config.momentum() >= 0 && config.momentum() < 1)) return Bad("--momentum", config.momentum(), "in [0, 1)");
    return absl::OkStatus();
  }
  if (!(config.beta1() >= 0 && config.beta1() < 1)) return Bad("--beta1", config.beta1(), "in [0, 1)");
  // With a beta2 of 0 every step would be the sign of the gradient: always a setting that was left out.
  if (!(config.beta2() > 0 && config.beta2() < 1)) return Bad("--beta2", config.beta2(), "in (0, 1), normally 0.95");
  if (!(config.epsilon() > 0 && std::isfinite(config.epsilon()))) {
    return Bad("--epsilon", config.epsilon(), "above 0, normally 1e-8");
  }
  return absl::OkStatus();
}

}  // namespace

proto::JobConfig DefaultJobConfig() {
  proto::JobConfig config;
  config.set_schema_version(kSchemaVersion);
  config.set_steps(100);
  config.set_seed(1);
  config.mutable_data()->set_shuffle(true);
  config.mutable_learning_rate()->set_schedule("cosine");
  config.mutable_learning_rate()->set_peak(1e-3);
  config.mutable_learning_rate()->set_minimum(1e-4);
  config.mutable_learning_rate()->set_warmup_steps(10);
  config.mutable_optimizer()->set_beta1(0.9);
  config.mutable_optimizer()->set_beta2(0.95);
  config.mutable_optimizer()->set_epsilon(1e-8);
  config.mutable_optimizer()->set_weight_decay(0.1);
  config.mutable_optimizer()->set_momentum(0.9);
  config.mutable_optimizer()->set_clip_norm(1.0);
  config.set_checkpoints_kept(2);
  config.set_eval_micro_batches(20);
  config.set_sample_bytes(200);
  config.set_sample_temperature(0.8);
  return config;
}

absl::Status CheckJobConfig(const proto::JobConfig& config, const proto::ExecutionPlan& plan) {
  if (config.check_replicas_every() > 0 && DividesParameters(plan)) {
    return absl::InvalidArgumentError(
        "--check-replicas-every has nothing to compare: at --shard-optimizer=3 every replica holds other pieces of the "
        "weights");
  }
  if (config.steps() == 0) return absl::InvalidArgumentError("--steps is 0; say how many optimizer steps to train");
  if (config.out_dir().empty()) {
    return absl::InvalidArgumentError("--out is empty; say which folder the run's results go to");
  }
  if (config.threads() > kMostThreads) {
    return Bad("--threads", config.threads(), absl::StrCat("0 (cores / ranks) to ", kMostThreads));
  }
  if (!(config.sample_temperature() >= 0)) {
    return Bad("--sample-temperature", config.sample_temperature(), "0 (the likeliest byte) or more");
  }
  if (FindProgram(plan, "train") == nullptr) {
    return absl::InvalidArgumentError("the plan has no program named 'train'; partition the model again");
  }
  MR_RETURN_IF_ERROR(CheckLearningRate(config.learning_rate()));
  return CheckOptimizer(config.optimizer(), plan.optimizer());
}

}  // namespace millrace
