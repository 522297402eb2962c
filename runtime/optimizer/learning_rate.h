// Learning-rate schedules: pure functions of the step.
#ifndef RUNTIME_OPTIMIZER_LEARNING_RATE_H_
#define RUNTIME_OPTIMIZER_LEARNING_RATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace millrace {

// INVALID_ARGUMENT names the field at fault and the schedules there are.
absl::Status CheckLearningRate(const proto::LearningRate& rate);

// The rate of step `step` (from 0) of a run of `total_steps`. `rate` must have passed CheckLearningRate.
//
// Warm-up: peak * (step + 1) / warmup_steps, so that step 0 already learns and the last step of the warm-up has the
// peak. Then, with r from 0 at the end of the warm-up to 1 at the end of the schedule (decay_steps, warm-up included):
//   cosine    minimum + (peak - minimum) * (1 + cos(pi r)) / 2   (Loshchilov & Hutter, SGDR, 2016, without restarts)
//   linear    peak + (minimum - peak) * r
//   constant  peak
// and after the end the value of r = 1.
double LearningRateAt(const proto::LearningRate& rate, uint64_t step, uint64_t total_steps);

}  // namespace millrace

#endif  // RUNTIME_OPTIMIZER_LEARNING_RATE_H_
