// One rank at work: binds the rank's instructions to kernels and addresses, then runs them. The third interpreter of
// the plan and the only loop of the runtime.
//
// During a step nothing is allocated, looked up by name, parsed or logged.
#ifndef RUNTIME_WORKER_WORKER_H_
#define RUNTIME_WORKER_WORKER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/comm/communicator.h"

namespace millrace {

// Fills host memory with a model input for one micro-batch. `micro_batch` counts within the step, over all replicas.
// Called on the rank's thread; must be a pure function of (step, micro_batch, input), because several ranks may ask for
// the same.
using LoadFn = std::function<absl::Status(const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                          uint64_t bytes)>;

// Where a rank stands in the list of the program that runs: told at the start of each instruction, and before it waits
// for another rank. The texts live as long as the plan.
struct Standpoint {
  int64_t instruction = -1;       // index in the rank's list
  absl::string_view action;       // "RUN", "RECV"
  absl::string_view edge;         // empty: none
  int64_t micro_batch = -1;       // -1: none
  int peer = -1;                  // the rank it waits for; -1: it waits for nobody
  int64_t peer_instruction = -1;  // the other half of the transfer in the peer's list; -1: not known
};

// Called on the rank's thread, many times a step: it must neither block nor allocate.
using StandFn = std::function<void(const Standpoint&)>;

struct WorkerOptions {
  int rank = 0;
  Device* device = nullptr;              // must outlive the worker
  Communicator* communicator = nullptr;  // must outlive the worker
  LoadFn load;
  StandFn stand;  // may be empty
  uint64_t seed = 0;
  bool check_finite = true;  // a non-finite norm skips the step on every rank
  // For debugging: fills transient memory with NaN before each program, so that a value read before it is written
  // shows.
  bool poison = false;
};

// The numbers of one optimizer step, the same on every rank.
struct StepSettings {
  uint64_t step = 0;            // of the run, from 0
  uint64_t optimizer_step = 1;  // from 1; counts steps that were not skipped
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0;
  double momentum = 0;
  bool nesterov = false;
  double clip_norm = 0;  // 0: none
};

// What a program produced, the same on every rank for `train`; for `eval`, on the rank of replica 0 that holds the
// metrics, zero elsewhere.
struct StepResult {
  double loss_sum = 0;
  double loss_count = 0;
  double gradient_norm = 0;  // of the mean loss, before clipping
  bool skipped = false;
};

// Used by one thread at a time (each rank's own). Create allocates the arena and binds all programs.
class Worker {
 public:
  // The plan must have passed VerifyPlan and must outlive the worker. FAILED_PRECONDITION when a kernel needs more
  // scratch or packed bytes than the plan gives it (the plan was made for another backend or version: partition again).
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const proto::ExecutionPlan& plan, const WorkerOptions& options);
  virtual ~Worker() = default;

  // Every parameter placed here gets its first value from its initialiser and the seed; optimizer state becomes zero.
  virtual absl::Status InitializeParameters() = 0;
  // Runs every PREPARE. Call after InitializeParameters or after writing parameters and states: float32 masters of
  // parameters in 16 bits, where they were not written too, are then taken from those.
  virtual absl::Status PrepareWeights() = 0;

  virtual absl::StatusOr<StepResult> TrainStep(const StepSettings& settings) = 0;
  // Runs a forward-only program ("eval", "logits") on the micro-batches of `step` as LoadFn gives them.
  virtual absl::StatusOr<StepResult> RunForward(absl::string_view program, uint64_t step) = 0;
  // Copies a program's output to host memory: FAILED_PRECONDITION when it is on another rank.
  virtual absl::Status ReadOutput(absl::string_view program, absl::string_view output, void* memory,
                                  uint64_t bytes) = 0;

  // Parameters and optimizer state by index into plan.parameters; state k of the optimizer's order. NOT_FOUND when this
  // rank has no copy (parameter) or is not the owner (state, gradient). Where the plan divides them among replicas,
  // each is read and written only where this replica's piece is, the rest of `memory` is left alone: asking the owner
  // of every replica gives the whole.
  virtual absl::Status ReadParameter(int parameter, void* memory, uint64_t bytes) const = 0;
  virtual absl::Status WriteParameter(int parameter, const void* memory, uint64_t bytes) = 0;
  virtual absl::Status ReadState(int parameter, int k, void* memory, uint64_t bytes) const = 0;
  virtual absl::Status WriteState(int parameter, int k, const void* memory, uint64_t bytes) = 0;
  // Bytes [first, first + bytes) of a state, or with k = -1 of the parameter; INVALID_ARGUMENT when not all are here.
  virtual absl::Status ReadRange(int parameter, int k, uint64_t first, void* memory, uint64_t bytes) const = 0;
  // The parameter's summed gradient of the last TrainStep, as it stood before NORM. Kept only when asked for
  // beforehand: a copy on the host, for parity checks and tests.
  virtual void KeepGradients(bool keep) = 0;
  virtual absl::Status ReadGradient(int parameter, void* memory, uint64_t bytes) const = 0;

  // Spans of the last program run, seconds since `epoch_seconds` of the steady clock. On a device they are its stream's
  // times: a RUN lasts from its first kernel to its last, a transfer until the stream has passed it.
  virtual absl::Status AppendSpans(double epoch_seconds, proto::StepTrace* trace) const = 0;
  virtual uint64_t arena_bytes() const = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_WORKER_H_
