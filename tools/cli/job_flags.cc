#include "tools/cli/job_flags.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/job/job_config.h"
#include "tools/cli/command.h"

namespace millrace {

JobFlags::JobFlags() {
  const proto::JobConfig config = DefaultJobConfig();
  schedule_ = config.learning_rate().schedule();
  steps_ = config.steps();
  seed_ = config.seed();
  warmup_steps_ = config.learning_rate().warmup_steps();
  checkpoints_kept_ = config.checkpoints_kept();
  eval_micro_batches_ = config.eval_micro_batches();
  sample_bytes_ = config.sample_bytes();
  learning_rate_ = config.learning_rate().peak();
  minimum_ = config.learning_rate().minimum();
  beta1_ = config.optimizer().beta1();
  beta2_ = config.optimizer().beta2();
  epsilon_ = config.optimizer().epsilon();
  weight_decay_ = config.optimizer().weight_decay();
  momentum_ = config.optimizer().momentum();
  clip_norm_ = config.optimizer().clip_norm();
  temperature_ = config.sample_temperature();
  shuffle_ = config.data().shuffle();
}

void JobFlags::Declare(FlagSet* flags) {
  flags->String("data", &data_, "text file, nanoGPT or llm.c .bin, a folder of .bin shards, or synthetic");
  flags->Uint("steps", &steps_, "optimizer steps, those before a resume included");
  flags->Uint("seed", &seed_, "of weights, data order, dropout and sampling");
  flags->String("out", &out_, "folder for everything the run makes");
  flags->String("resume", &resume_, "a checkpoint or a run's folder; auto: the newest in --out, if any");
  flags->Uint("checkpoint-every", &checkpoint_every_, "steps between checkpoints; 0: at the end and on Ctrl-C");
  flags->Uint("checkpoints-kept", &checkpoints_kept_, "newest checkpoints that stay; 0: all");
  flags->Double("learning-rate", &learning_rate_, "peak");
  flags->Double("minimum-learning-rate", &minimum_, "at the end of cosine and linear");
  flags->String("learning-rate-schedule", &schedule_, "cosine, linear or constant");
  flags->Uint("warmup-steps", &warmup_steps_, "linear from 0 to the peak");
  flags->Uint("decay-steps", &decay_steps_, "length of the schedule; 0: --steps");
  flags->Double("weight-decay", &weight_decay_, "decoupled (adamw), on parameters of two or more dimensions");
  flags->Double("clip-norm", &clip_norm_, "global gradient norm; 0: no clipping");
  flags->Double("beta1", &beta1_, "adamw");
  flags->Double("beta2", &beta2_, "adamw");
  flags->Double("epsilon", &epsilon_, "adamw");
  flags->Double("momentum", &momentum_, "sgd");
  flags->Bool("nesterov", &nesterov_, "sgd");
  flags->String("data-format", &data_format_, "text, nanogpt, llmc or synthetic; default: told from the file");
  flags->String("validation", &validation_, "held-out file; default: the end of --data");
  flags->Double("validation-fraction", &validation_fraction_, "of --data that is held out");
  flags->Uint("vocabulary", &vocabulary_, "of the data; 0: from its format, or the model");
  flags->Bool("shuffle", &shuffle_, "windows in a seeded random order, another each epoch");
  flags->Uint("eval-every", &eval_every_, "steps between held-out losses; 0: before and after");
  flags->Uint("eval-micro-batches", &eval_micro_batches_, "of a held-out loss; 0: none");
  flags->Uint("trace-every", &trace_every_, "steps between kept traces; 0: the last");
  flags->Uint("check-replicas-every", &check_replicas_every_,
              "steps between comparisons of the weights of all replicas; 0: never");
  flags->Uint("sample-bytes", &sample_bytes_, "of text written at the end by a model of bytes; 0: none");
  flags->String("sample-prompt", &sample_prompt_, "what the sample begins with");
  flags->Double("sample-temperature", &temperature_, "0: always the likeliest byte");
  flags->Uint("threads", &threads_, "of each rank; 0: cores / ranks");
  flags->Bool("quiet", &quiet_, "no progress lines");
  flags->String("job", &job_, "a JobConfig file that sets what no flag sets");
}

absl::StatusOr<proto::JobConfig> JobFlags::Config(const FlagSet& flags) const {
  proto::JobConfig config = DefaultJobConfig();
  if (!job_.empty()) {
    proto::JobConfig file;
    MR_RETURN_IF_ERROR(ReadMessage(job_, &file));
    config.MergeFrom(file);
  }
  absl::Status status;
  const auto set = [&](absl::string_view name, const auto& value, auto setter) {
    if (flags.WasGiven(name)) setter(value);
  };
  const auto set32 = [&](absl::string_view name, uint64_t value, auto setter) {
    if (!flags.WasGiven(name)) return;
    if (value > std::numeric_limits<uint32_t>::max())
      status.Update(UsageError(absl::StrCat("--", name, " is too large")));
    setter(static_cast<uint32_t>(value));
  };
  proto::DataConfig* data = config.mutable_data();
  if (flags.WasGiven("data") && data_ == "synthetic") {
    data->set_format("synthetic");
    data->clear_path();
  } else {
    set("data", data_, [&](const auto& v) { data->set_path(v); });
  }
  set("data-format", data_format_, [&](const auto& v) { data->set_format(v); });
  set("validation", validation_, [&](const auto& v) { data->set_validation_path(v); });
  set("validation-fraction", validation_fraction_, [&](const auto& v) { data->set_validation_fraction(v); });
  set32("vocabulary", vocabulary_, [&](const auto& v) { data->set_vocabulary(v); });
  set("shuffle", shuffle_, [&](const auto& v) { data->set_shuffle(v); });
  proto::LearningRate* rate = config.mutable_learning_rate();
  set("learning-rate", learning_rate_, [&](const auto& v) { rate->set_peak(v); });
  if (flags.WasGiven("learning-rate") && !flags.WasGiven("minimum-learning-rate") && job_.empty()) {
    rate->set_minimum(learning_rate_ / 10);
  }
  set("minimum-learning-rate", minimum_, [&](const auto& v) { rate->set_minimum(v); });
  set("learning-rate-schedule", schedule_, [&](const auto& v) { rate->set_schedule(v); });
  set("warmup-steps", warmup_steps_, [&](const auto& v) { rate->set_warmup_steps(v); });
  set("decay-steps", decay_steps_, [&](const auto& v) { rate->set_decay_steps(v); });
  proto::OptimizerConfig* optimizer = config.mutable_optimizer();
  set("weight-decay", weight_decay_, [&](const auto& v) { optimizer->set_weight_decay(v); });
  set("clip-norm", clip_norm_, [&](const auto& v) { optimizer->set_clip_norm(v); });
  set("beta1", beta1_, [&](const auto& v) { optimizer->set_beta1(v); });
  set("beta2", beta2_, [&](const auto& v) { optimizer->set_beta2(v); });
  set("epsilon", epsilon_, [&](const auto& v) { optimizer->set_epsilon(v); });
  set("momentum", momentum_, [&](const auto& v) { optimizer->set_momentum(v); });
  set("nesterov", nesterov_, [&](const auto& v) { optimizer->set_nesterov(v); });
  set("steps", steps_, [&](const auto& v) { config.set_steps(v); });
  set("seed", seed_, [&](const auto& v) { config.set_seed(v); });
  set("out", out_, [&](const auto& v) { config.set_out_dir(v); });
  set("resume", resume_, [&](const auto& v) { config.set_resume(v); });
  set("checkpoint-every", checkpoint_every_, [&](const auto& v) { config.set_checkpoint_every(v); });
  set32("checkpoints-kept", checkpoints_kept_, [&](const auto& v) { config.set_checkpoints_kept(v); });
  set("eval-every", eval_every_, [&](const auto& v) { config.set_eval_every(v); });
  set32("eval-micro-batches", eval_micro_batches_, [&](const auto& v) { config.set_eval_micro_batches(v); });
  set("trace-every", trace_every_, [&](const auto& v) { config.set_trace_every(v); });
  set("check-replicas-every", check_replicas_every_, [&](const auto& v) { config.set_check_replicas_every(v); });
  set32("sample-bytes", sample_bytes_, [&](const auto& v) { config.set_sample_bytes(v); });
  set("sample-prompt", sample_prompt_, [&](const auto& v) { config.set_sample_prompt(v); });
  set("sample-temperature", temperature_, [&](const auto& v) { config.set_sample_temperature(v); });
  set32("threads", threads_, [&](const auto& v) { config.set_threads(v); });
  set("quiet", quiet_, [&](const auto& v) { config.set_quiet(v); });
  MR_RETURN_IF_ERROR(status);
  return config;
}

}  // namespace millrace
