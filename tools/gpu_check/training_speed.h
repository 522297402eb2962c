// Measures training of whole models: tokens per second, share of the device's peak, and what the plan had predicted.
#ifndef TOOLS_GPU_CHECK_TRAINING_SPEED_H_
#define TOOLS_GPU_CHECK_TRAINING_SPEED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/graph/gpt2.h"
#include "tools/gpu_check/report.h"

namespace millrace {

struct TrainedModel {
  std::string name;            // "GPT-2 124M, 64 x 1024"
  Gpt2Options model;
  int64_t micro_batch = 1;     // sequences
  int64_t micro_batches = 1;   // of a step
  int pp = 1;                  // stages, all on one device
  std::string schedule = "1f1b";
};

struct TrainingSpeed {
  double step_seconds = 0;       // the middle one
  double predicted_seconds = 0;  // from costs that were measured before, of this plan
  double tokens = 0, flops = 0;  // of a step; model FLOPs: 6 N + 12 layers * length * width per token
  double arena_bytes = 0;        // what the plan says, of all ranks
  double taken_bytes = 0;        // what the device says that training took; 0: it does not say
  double overhead_seconds = 0;   // of an instruction: the step without its RUNs, divided by how many there are; pp 1
};

// On device 0 of the kind: profiles, partitions again with what was measured, and trains. N leaves the position table
// out, as PyTorch's script beside this does. Errors are the partitioner's and the devices'.
absl::StatusOr<TrainingSpeed> MeasureTraining(const TrainedModel& trained, const std::string& device_kind);

// GPT-2 in bfloat16: 124M, 350M, 774M and 1.5B as one stage, and 124M in 8 micro-batches as 1, 2 and 4 stages.
std::vector<TrainedModel> WhatIsTrained();

// Of all of them on the device kind `cuda`. What could not be measured is named with the reason.
std::vector<Figure> MeasureAllTraining();

}  // namespace millrace

#endif  // TOOLS_GPU_CHECK_TRAINING_SPEED_H_
