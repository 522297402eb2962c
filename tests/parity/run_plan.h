// Runs plans in a test: every rank a thread, the weights and gradients brought back as vectors.
#ifndef TESTS_PARITY_RUN_PLAN_H_
#define TESTS_PARITY_RUN_PLAN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/partition.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/worker/worker.h"

namespace millrace {

struct RunOptions {
  std::string device = "cpu";
  int threads = 1;  // of each rank
  int steps = 1;
  uint64_t seed = 7;
  double learning_rate = 1e-2;
  double weight_decay = 0.1;
  double clip_norm = 1.0;
  LoadFn load;                                        // empty: RandomTokens
  std::map<std::string, std::vector<float>> initial;  // parameters that get these values instead of their initialiser's
  bool poison = false;                                // as in WorkerOptions
  CommunicatorOptions communication;
  // Empty: OpenDevice of kernels/backends.h. Called on the rank's thread.
  std::function<absl::StatusOr<std::unique_ptr<Device>>(absl::string_view kind, int rank, const DeviceOptions&)>
      open_device;
  // One for each rank; empty: in_process.
  std::function<std::vector<std::unique_ptr<Communicator>>(int ranks, const CommunicatorOptions&)> make_communicators;
};

struct RunResult {
  std::vector<double> losses;  // mean of each step
  std::vector<double> norms;
  double count = 0;                                     // of the last step
  std::map<std::string, std::vector<float>> weights;    // after the last step, constants left out
  std::map<std::string, std::vector<float>> masters;    // of weights in 16 bits
  std::map<std::string, std::vector<float>> gradients;  // of the last step: unscaled sums, summed over the places
  proto::StepTrace trace;                               // measured: the spans of the last step of all ranks
};

// A cluster of `pp` devices of the kind, and the other options that tests rarely vary.
PartitionOptions OptionsFor(const std::string& device, int pp);

// Partition with the needs of the named backend, then VerifyPlan: a plan that is ready to run.
absl::StatusOr<proto::ExecutionPlan> PlanFor(const proto::Model& model, const PartitionOptions& options);

absl::StatusOr<RunResult> RunPlan(const proto::ExecutionPlan& plan, const RunOptions& options);

// Ids below `vocabulary`, a pure function of (input, step, micro-batch); about one label in eight is ignored (-100),
// and float inputs are uniform in [-1, 1).
LoadFn RandomTokens(int64_t vocabulary, bool ignore_some = true);

// Names of the tensors of which not every bit is equal, with the first difference; empty when all are.
std::vector<std::string> Differences(const std::map<std::string, std::vector<float>>& a,
                                     const std::map<std::string, std::vector<float>>& b);

}  // namespace millrace

#endif  // TESTS_PARITY_RUN_PLAN_H_
