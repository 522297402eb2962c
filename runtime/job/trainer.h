// A training run from beginning to end, in this process: one thread for each rank.
#ifndef RUNTIME_JOB_TRAINER_H_
#define RUNTIME_JOB_TRAINER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "runtime/job/progress.h"
#include "runtime/job/ranks.h"
#include "runtime/job/results.h"

namespace millrace {

struct TrainerOptions {
  std::string device_kind;                         // empty: the plan's
  std::ostream* progress = nullptr;                // one line for each step; nullptr: none. Must outlive the trainer
  bool terminal = false;                           // `progress` is one: the line is rewritten in place
  std::function<void(const StepReport&)> on_step;  // on the thread of Run, after each step
  const std::atomic<bool>* stop = nullptr;         // set by a signal handler: finish the step, save, return CANCELLED
  OpenDeviceFn open_device;                        // empty: kernels/backends.h
};

// Used by one thread.
class Trainer {
 public:
  // Opens the data and the folder, starts the ranks and gives the parameters their first values or those of a
  // checkpoint. The plan must have passed VerifyPlan; plan and model must outlive the trainer. `model` may be null: it
  // is only copied into the folder. INVALID_ARGUMENT for settings and data; ALREADY_EXISTS when out_dir holds a run and
  // the job does not resume it; FAILED_PRECONDITION when a checkpoint is of another plan, data or seed.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const proto::ExecutionPlan& plan, const proto::Model* model,
                                                         const proto::JobConfig& config, const TrainerOptions& options);
  virtual ~Trainer() = default;

  // Trains to the last step and writes everything that run_folder.h lists. A run that was stopped and resumed gives the
  // same losses and weights, bit for bit, as one that was not. CANCELLED, after a checkpoint, when stop was set; a
  // rank's error otherwise. Once.
  virtual absl::StatusOr<RunResults> Run() = 0;
  virtual uint64_t first_step() const = 0;  // steps already done when Run starts: not 0 when resumed
};

}  // namespace millrace

#endif  // RUNTIME_JOB_TRAINER_H_
