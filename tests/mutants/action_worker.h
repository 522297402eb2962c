// Executes the action lists of a schedule, right or wrong, naively: what a schedule that the verifier refuses would do.
//
// One thread per rank takes its list from the top. An action runs the nodes of its stage and phase with the real
// kernels; every value has memory of its own for each rank and micro-batch, so a value is there or it is not, and
// nothing is ever overwritten by another micro-batch. F, B and BW first wait for what other ranks make for them, W and
// R wait for nothing; what an action makes is sent to every other rank that reads it. A rank holds the weights of its
// own stages only. Gradients and the loss are added in the order of the lists.
//
// No verifier, no lowering, no memory plan, no instructions: it shares with the product only the graph and the kernels.
#ifndef TESTS_MUTANTS_ACTION_WORKER_H_
#define TESTS_MUTANTS_ACTION_WORKER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "partitioner/lower/program_source.h"
#include "proto/model.pb.h"
#include "runtime/plan/action.h"
#include "runtime/worker/worker.h"
#include "tests/mutants/exchange.h"

namespace millrace {

// One step, from the parameters' first values.
struct Played {
  Outcome outcome = Outcome::kFinished;
  std::string why;                                      // of a race or a hang
  double loss = 0;                                      // mean of the step
  std::map<std::string, std::vector<float>> gradients;  // unscaled sums, summed over the places
};

class ActionWorker {
 public:
  // Cuts the model evenly into the schedule's stages and recomputes those that have actions R. Kernels are the "cpu"
  // backend's; weights and random numbers follow the seed as in a Worker.
  static absl::StatusOr<std::unique_ptr<ActionWorker>> Make(const proto::Model& model, const Schedule& schedule,
                                                            int64_t micro_batch, uint64_t seed, LoadFn load);
  ~ActionWorker();

  // Any lists on as many ranks, over the same stages and micro-batches. An error is a kernel's.
  absl::StatusOr<Played> Play(const Schedule& lists);

  // What the rules about harmless mutants ask: does the phase of a stage add into sums that outlive the micro-batch;
  // does it send anything to another rank?
  bool Adds(int stage, proto::Phase phase) const;
  bool Sends(int stage, proto::Phase phase) const;

 private:
  class RankThread;
  struct Call;

  ActionWorker() = default;
  absl::Status Stage(const proto::Model& model, const Schedule& schedule, int64_t micro_batch);
  absl::Status FillParameters(uint64_t seed);
  void FindReaders();
  std::vector<int> NodesOf(int stage, proto::Phase phase) const;
  std::vector<float> GradientOf(int parameter, const std::vector<std::unique_ptr<RankThread>>& ranks) const;

  StagedGraph staged_;
  std::vector<int> rank_of_stage_;
  uint64_t seed_ = 0;
  LoadFn load_;
  std::vector<std::string> parameters_;         // bytes, by parameter
  std::vector<std::vector<bool>> ranks_with_;   // by parameter: does the rank hold it?
  std::vector<int> made_on_;                    // by root value: stage, -1: given
  std::vector<std::vector<int>> reader_ranks_;  // by root value: ranks that read it, other than its maker's
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<std::vector<std::unique_ptr<Call>>> calls_;  // by rank, node; made when first needed
};

}  // namespace millrace

#endif  // TESTS_MUTANTS_ACTION_WORKER_H_
