// Training runs of toy plans, and what of their folders must be the same when they are repeated.
#ifndef TESTS_RUNTIME_JOB_TOY_RUNS_H_
#define TESTS_RUNTIME_JOB_TOY_RUNS_H_

#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/job/job_config.h"
#include "runtime/job/trainer.h"
#include "runtime/plan/plan.h"
#include "tests/runtime/data/files.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {

inline proto::ExecutionPlan SealedToyPlan(int stages, int ranks, const std::string& optimizer = "adamw") {
  ToyOptions options;
  options.stages = stages;
  options.ranks = ranks;
  options.optimizer = optimizer;
  proto::ExecutionPlan plan = ToyPlan(options);
  SealPlan(&plan);
  return plan;
}

inline proto::JobConfig ToyConfig(const std::string& out_dir, uint64_t steps = 12) {
  proto::JobConfig config = DefaultJobConfig();
  config.set_steps(steps);
  config.set_out_dir(out_dir);
  config.mutable_learning_rate()->set_decay_steps(12);
  config.mutable_learning_rate()->set_warmup_steps(2);
  config.set_eval_micro_batches(4);
  return config;
}

// `device` is that of `failing_rank`, or of all ranks.
inline TrainerOptions ToyTrainerOptions(const ToyDeviceOptions& device = {}, int failing_rank = -1) {
  TrainerOptions options;
  options.open_device = [=](absl::string_view, int rank, const DeviceOptions&) {
    return absl::StatusOr<std::unique_ptr<Device>>(
        std::make_unique<ToyDevice>(rank == failing_rank || failing_rank < 0 ? device : ToyDeviceOptions{}));
  };
  return options;
}

inline absl::StatusOr<RunResults> TrainToy(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                           const TrainerOptions& options = ToyTrainerOptions()) {
  auto trainer = Trainer::Create(plan, nullptr, config, options);
  if (!trainer.ok()) return trainer.status();
  return (*trainer)->Run();
}

// The columns that must be the same when a run is repeated: step, loss, norm, learning rate, tokens, skipped.
inline std::vector<std::string> Curve(const std::string& folder) {
  std::istringstream lines(Contents(folder + "/metrics.csv"));
  std::vector<std::string> curve;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream cells(line);
    std::string kept, cell;
    for (int column = 0; std::getline(cells, cell, ','); ++column) {
      if (column != 4 && column != 5 && column != 8) kept += cell + ",";
    }
    curve.push_back(kept);
  }
  return curve;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_JOB_TOY_RUNS_H_
