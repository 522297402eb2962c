// Workers of one plan as threads of the test.
#ifndef TESTS_RUNTIME_WORKER_RANK_GROUP_H_
#define TESTS_RUNTIME_WORKER_RANK_GROUP_H_

#include <functional>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/comm/communicator.h"
#include "runtime/worker/worker.h"

namespace millrace {

class RankGroup {
 public:
  // Options of rank 0; rank and communicator are set for each. All ranks share `options.device`, or have those of
  // `devices`, which must outlive the group.
  RankGroup(const proto::ExecutionPlan& plan, WorkerOptions options, const std::vector<Device*>& devices = {});

  // Of Create; workers() is empty unless it is OK.
  const absl::Status& status() const { return status_; }
  Worker& operator[](int rank) { return *workers_[rank]; }
  int size() const { return static_cast<int>(workers_.size()); }

  // Runs `body` on one thread per rank; the status of each.
  std::vector<absl::Status> OnEveryRank(const std::function<absl::Status(int rank, Worker& worker)>& body);
  // InitializeParameters and PrepareWeights.
  void Start();
  // One step on every rank; expects equal results.
  StepResult Train(const StepSettings& settings);
  // The owner's copy; expects every other copy to be equal.
  std::vector<float> Weights(int parameter);

 private:
  const proto::ExecutionPlan& plan_;
  absl::Status status_;
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace millrace

#endif  // TESTS_RUNTIME_WORKER_RANK_GROUP_H_
