#include "tests/runtime/worker/rank_group.h"

#include <cstring>
#include <thread>
#include <utility>

#include "kernels/op_desc.h"

namespace millrace {

RankGroup::RankGroup(const proto::ExecutionPlan& plan, WorkerOptions options, const std::vector<Device*>& devices)
    : plan_(plan), communicators_(MakeInProcessCommunicators(plan.ranks_size())) {
  for (int rank = 0; rank < plan.ranks_size(); ++rank) {
    options.rank = rank;
    options.communicator = communicators_[rank].get();
    if (!devices.empty()) options.device = devices[rank];
    absl::StatusOr<std::unique_ptr<Worker>> worker = Worker::Create(plan, options);
    if (!worker.ok()) {
      status_ = worker.status();
      workers_.clear();
      return;
    }
    workers_.push_back(*std::move(worker));
  }
}

std::vector<absl::Status> RankGroup::OnEveryRank(const std::function<absl::Status(int rank, Worker& worker)>& body) {
  std::vector<absl::Status> statuses(workers_.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < workers_.size(); ++r) {
    threads.emplace_back([&, r] { statuses[r] = body(static_cast<int>(r), *workers_[r]); });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

void RankGroup::Start() {
  for (auto& worker : workers_) {
    ASSERT_TRUE(worker->InitializeParameters().ok());
    ASSERT_TRUE(worker->PrepareWeights().ok());
  }
}

StepResult RankGroup::Train(const StepSettings& settings) {
  std::vector<StepResult> results(workers_.size());
  const std::vector<absl::Status> statuses = OnEveryRank([&](int rank, Worker& worker) {
    absl::StatusOr<StepResult> result = worker.TrainStep(settings);
    if (result.ok()) results[rank] = *result;
    return result.status();
  });
  for (size_t r = 0; r < statuses.size(); ++r) {
    EXPECT_TRUE(statuses[r].ok()) << statuses[r];
    // As bits: a NaN must be the same on every rank too.
    EXPECT_EQ(std::memcmp(&results[r].loss_sum, &results[0].loss_sum, sizeof(double)), 0);
    EXPECT_EQ(std::memcmp(&results[r].loss_count, &results[0].loss_count, sizeof(double)), 0);
    EXPECT_EQ(std::memcmp(&results[r].gradient_norm, &results[0].gradient_norm, sizeof(double)), 0);
    EXPECT_EQ(results[r].skipped, results[0].skipped);
  }
  return results[0];
}

std::vector<float> RankGroup::Weights(int parameter) {
  const proto::PlannedParameter& planned = plan_.parameters(parameter);
  std::vector<float> first;
  for (const proto::ParameterPlace& place : planned.places()) {
    std::vector<float> copy(TensorSpec::Of(planned.type()).elements());
    absl::Status status = workers_[place.rank()]->ReadParameter(parameter, copy.data(), copy.size() * sizeof(float));
    EXPECT_TRUE(status.ok()) << status;
    if (first.empty()) first = copy;
    EXPECT_EQ(copy, first) << "copy of " << planned.name() << " on rank " << place.rank();
  }
  return first;
}

}  // namespace millrace
