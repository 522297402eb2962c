// Flags that say what a training run does beyond its plan: every field of JobConfig.
#ifndef TOOLS_CLI_JOB_FLAGS_H_
#define TOOLS_CLI_JOB_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "tools/cli/flags.h"

namespace millrace {

// Precedence: flag, then --job=FILE, then DefaultJobConfig().
class JobFlags {
 public:
  JobFlags();
  void Declare(FlagSet* flags);
  absl::StatusOr<proto::JobConfig> Config(const FlagSet& flags) const;

 private:
  std::string job_, data_, data_format_, validation_, schedule_, out_, resume_, sample_prompt_;
  double validation_fraction_ = 0.1;
  uint64_t steps_, seed_, vocabulary_ = 0, warmup_steps_, decay_steps_ = 0, checkpoint_every_ = 0, checkpoints_kept_;
  uint64_t eval_every_ = 0, eval_micro_batches_, trace_every_ = 0, check_replicas_every_ = 0, sample_bytes_, threads_ = 0;
  double learning_rate_, minimum_, beta1_, beta2_, epsilon_, weight_decay_, momentum_, clip_norm_, temperature_;
  bool shuffle_, nesterov_ = false, quiet_ = false;
};

}  // namespace millrace

#endif  // TOOLS_CLI_JOB_FLAGS_H_
