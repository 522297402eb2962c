// Text from a trained model of bytes.
#ifndef RUNTIME_JOB_SAMPLE_H_
#define RUNTIME_JOB_SAMPLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/job/ranks.h"

namespace millrace {

struct SampleOptions {
  std::string prompt;      // empty: a line end
  uint32_t bytes = 200;    // how many to add
  double temperature = 1;  // 0: always the likeliest
  uint64_t seed = 0;       // byte i depends on (seed, i) and the scores alone
};

// The prompt and the bytes that the model adds to it, one run of the `logits` program each: the last T bytes are its
// input. Only ids below 256 are drawn. Leaves its own feed behind. FAILED_PRECONDITION when the plan has no `logits`
// program or its scores are not one row for each token. Every process calls it and gets the same.
absl::StatusOr<std::string> SampleText(const proto::ExecutionPlan& plan, const SampleOptions& options, Ranks* ranks);

// Index of the score drawn at `uniform` in [0, 1): the softmax of scores / temperature, or the largest at temperature
// 0.
int DrawFromScores(const std::vector<double>& scores, double temperature, double uniform);

}  // namespace millrace

#endif  // RUNTIME_JOB_SAMPLE_H_
