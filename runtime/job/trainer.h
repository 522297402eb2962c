// A training run from beginning to end: in one process, or in several that each call it for some of the ranks. All of
// them execute the same control flow; what steers it is agreed (agree.h), so they take the same steps, save the same
// checkpoints and end the same way. Rank 0's process writes the folder.
#ifndef RUNTIME_JOB_TRAINER_H_
#define RUNTIME_JOB_TRAINER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

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
  std::ostream* progress = nullptr;                // one line for each step, in rank 0's process; nullptr: none. Must
                                                   // outlive the trainer
  bool terminal = false;                           // `progress` is one: the line is rewritten in place
  std::function<void(const StepReport&)> on_step;  // on the thread of Run, after each step
  // Set by a signal handler: finish the step, save, return CANCELLED. Set in one process, it stops all of them after
  // the same step.
  const std::atomic<bool>* stop = nullptr;
  OpenDeviceFn open_device;  // empty: kernels/backends.h

  // Of a process among several: RanksOptions.
  std::vector<int> here;
  int on_this_host = 0, local_rank = 0;
  MakeCommunicatorFn make_communicator;
  MakeStandFn make_stand;

  CommunicatorOptions communication;  // of the ranks of one process alone
  std::string faults;                 // rank_faults.h
};

// Used by one thread.
class Trainer {
 public:
  // Connects the ranks, opens the data and the folder, and gives the parameters their first values or those of a
  // checkpoint. Every process calls it with the same plan, model and config (out_dir, resume, threads, quiet and the
  // paths of the data are each process's own; out_dir and resume count in rank 0's). The plan must have passed
  // VerifyPlan; plan and model must outlive the trainer. `model` may be null: it is only copied into the folder.
  // INVALID_ARGUMENT for settings and data; ALREADY_EXISTS when out_dir holds a run and the job does not resume it;
  // FAILED_PRECONDITION when a checkpoint is of another plan, data or seed, or a process runs something else. An error
  // of one process is every process's.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const proto::ExecutionPlan& plan, const proto::Model* model,
                                                         const proto::JobConfig& config, const TrainerOptions& options);
  virtual ~Trainer() = default;

  // Trains to the last step and writes everything that run_folder.h lists. A run that was stopped and resumed gives the
  // same losses and weights, bit for bit, as one that was not, in however many processes. CANCELLED, after a
  // checkpoint, when stop was set; a rank's error otherwise. Once.
  virtual absl::StatusOr<RunResults> Run() = 0;
  virtual uint64_t first_step() const = 0;  // steps already done when Run starts: not 0 when resumed
};

}  // namespace millrace

#endif  // RUNTIME_JOB_TRAINER_H_
