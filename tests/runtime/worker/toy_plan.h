// A hand-made plan, small enough to check by eye, in any number of stages on any number of ranks:
//
//   y[0] = features; y[s + 1] = y[s] * weight[s] elementwise; loss = SoftmaxCrossEntropyLoss(y[S], labels)
//
// run as GPipe, every value in a pool with a slot per micro-batch.
#ifndef TESTS_RUNTIME_WORKER_TOY_PLAN_H_
#define TESTS_RUNTIME_WORKER_TOY_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proto/plan.pb.h"
#include "runtime/worker/worker.h"

namespace millrace {

struct ToyOptions {
  int stages = 1;
  int ranks = 1;  // stages are dealt out evenly, in order
  int micro_batches = 2;
  int64_t rows = 3;
  int64_t columns = 5;
  bool tied = false;  // the last stage uses weight[0] (needs stages > 1)
  std::string optimizer = "adamw";
  bool packed = false;         // Mul's packed weights have room and are prepared: for backends that ask for it
  uint64_t scratch_bytes = 0;  // of every call
  uint64_t norm_block_elements = 4;
};

// Programs "train", "eval" (the same forward, output "scores") of ToyOptions.
proto::ExecutionPlan ToyPlan(const ToyOptions& options);

// Features and labels as a function of (step, micro-batch).
LoadFn ToyLoad(const ToyOptions& options);

// What training does, in plain loops: weights after every step, losses and norms.
struct ToyHistory {
  std::vector<double> losses, norms;
  std::vector<std::vector<float>> weights;    // by parameter, at the end
  std::vector<std::vector<float>> gradients;  // by parameter, of the last step
};
ToyHistory ToyTraining(const ToyOptions& options, std::vector<std::vector<float>> weights,
                       const std::vector<StepSettings>& steps);

}  // namespace millrace

#endif  // TESTS_RUNTIME_WORKER_TOY_PLAN_H_
