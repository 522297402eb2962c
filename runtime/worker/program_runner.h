// The loop: executes the instructions of one program of one rank.
//
// Channel 0 runs on the calling thread, in list order. SEND, RECV and GROUP are posted once what they come `after` has
// finished, and then go on by themselves; so do REDUCE and GATHER on channels of their own, looked after between
// instructions and between the calls of a RUN. Who needs one waits for it and for the earlier ones of its channel.
#ifndef RUNTIME_WORKER_PROGRAM_RUNNER_H_
#define RUNTIME_WORKER_PROGRAM_RUNNER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/trace/ring.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/bind.h"
#include "runtime/worker/device_times.h"
#include "runtime/worker/recorded_runs.h"
#include "runtime/worker/replica_queue.h"
#include "runtime/worker/step.h"
#include "runtime/worker/worker.h"

namespace millrace {

// Used by the rank's thread only. Everything passed in must outlive it.
class ProgramRunner {
 public:
  // FAILED_PRECONDITION or UNIMPLEMENTED when a program holds an instruction that cannot run.
  static absl::StatusOr<std::unique_ptr<ProgramRunner>> Make(const proto::ExecutionPlan& plan,
                                                             const WorkerOptions& options, const Arena& arena,
                                                             Stream* stream, Binding* binding, StepRunner* step);

  // After an error the communicator is aborted, every rank returns the first error, and so does every later Run.
  absl::StatusOr<StepResult> Run(const BoundProgram& program, const StepSettings& settings);
  // Of the last program, as Worker::AppendSpans.
  absl::Status AppendSpans(double epoch_seconds, proto::StepTrace* trace);

  // Runs the kernels of every RUN once, on whatever the arena holds and leaves there: what a device loads and chooses
  // at a kernel's first call, it then has before ranks wait for each other.
  absl::Status WarmUp();

 private:
  ProgramRunner(const WorkerOptions& options, const Arena& arena, Stream* stream, Binding* binding, StepRunner* step,
                size_t instructions);

  absl::Status CheckInstructions(const proto::ExecutionPlan& plan, const BoundProgram& program) const;
  absl::Status BindWork(int index, BoundProgram* program, BoundInstruction* bound);
  absl::Status Begin(const BoundProgram& program);
  // What this replica must do for another one that runs the program.
  absl::Status TakePart(const BoundProgram& program);
  absl::Status RunList(uint64_t step);
  absl::Status Execute(int index, uint64_t step);
  absl::Status Compute(int index, uint64_t step);
  absl::Status RunCalls(const BoundInstruction& bound, const RunKey& key);
  absl::Status Call(const BoundCall& call, const RunKey& key);
  // A REDUCE or GATHER in the background: at the end of its channel's queue.
  absl::Status Enqueue(int index);
  absl::Status LookAfter(int channel);
  absl::Status Together(ReplicaWork* work, int index);
  absl::Status Load(const BoundInstruction& bound, uint64_t step);
  absl::Status ReadMetrics();
  absl::Status WaitThrough(int channel, int position);
  absl::Status CollectFinished();
  absl::Status Finish(int channel);
  absl::Status Mark(int index, DeviceTimes::Point point);
  // Tells WorkerOptions::stand, with the peer when the rank waits for it.
  void Stand(int index, bool waits);
  // "rank 3, program train, instruction 41 (RUN 1F3)"
  std::string Place(const BoundProgram& program, int index) const;

  // Number in the step of a micro-batch of this replica.
  uint32_t InStep(uint32_t micro_batch) const {
    return program_->trains ? micro_batch * replicas_ + replica_ : micro_batch;
  }

  const WorkerOptions& options_;
  uint32_t replicas_ = 1, replica_ = 0;
  const Arena& arena_;
  Stream* const stream_;
  Binding* const binding_;
  StepRunner* const step_;
  RecordedRuns recorded_;
  std::unique_ptr<DeviceTimes> times_;  // null: the host's clock does
  TraceRing ring_;
  std::vector<char> host_;  // where LoadFn writes
  std::map<const BoundProgram*, std::vector<Standpoint>> all_standpoints_;
  std::map<const BoundProgram*, std::vector<std::string>> all_names_;  // by instruction: "RUN 1F3"

  // Of the program that runs.
  const BoundProgram* program_ = nullptr;
  const StepSettings* settings_ = nullptr;
  const std::vector<Standpoint>* standpoints_ = nullptr;  // nullptr: nobody wants to know
  const std::vector<std::string>* names_ = nullptr;
  StepResult result_;
  bool normed_ = false;
  std::vector<Communicator::Ticket> tickets_;  // by instruction
  std::vector<uint64_t> spans_;                // by instruction: handle of the ring
  std::vector<int> posted_, finished_;         // by channel: how many of what goes on by itself
  std::vector<ReplicaQueue> queues_;           // by channel: REDUCE and GATHER that are not finished
  int queued_ = 0;                             // of those, on all channels
  absl::Status failed_;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_PROGRAM_RUNNER_H_
