// Do two plans of one model compute the same? The law of numerics, checked on real numbers.
#ifndef RUNTIME_JOB_PARITY_H_
#define RUNTIME_JOB_PARITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/plan.pb.h"
#include "runtime/job/ranks.h"

namespace millrace {

struct ParityOptions {
  int steps = 1;
  std::string device_kind;   // empty: each plan's own
  OpenDeviceFn open_device;  // empty: kernels/backends.h
};

// One tensor of the two plans that differs somewhere.
struct ParityDifference {
  std::string what;  // "gradient of step 1", "weight after step 2", "loss of step 1"
  std::string tensor;
  uint64_t elements = 0;       // of the tensor
  uint64_t different = 0;      // of these
  uint64_t first_element = 0;  // the first that differs
  double a = 0, b = 0;         // its two values
  uint64_t max_ulps = 0;       // largest distance in units in the last place; 2^64 - 1 when a NaN is involved
};

struct ParityReport {
  uint64_t tensors = 0;                       // compared
  uint64_t elements = 0;                      // compared
  std::vector<ParityDifference> differences;  // in order of steps; empty: equal bit for bit

  bool equal() const { return differences.empty(); }
  std::string ToString() const;
};

// Trains both plans from the same seed on the same samples and compares every loss, gradient and weight bit by bit.
// INVALID_ARGUMENT when the plans are not of one model, one optimizer and one size of step; a difference in numbers is
// not an error here.
absl::StatusOr<ParityReport> CompareParity(const proto::ExecutionPlan& a, const proto::ExecutionPlan& b,
                                           const proto::JobConfig& config, const ParityOptions& options);

// INTERNAL, with the report as message, when they differ: a bug of this program, never of the plan's author.
absl::Status CheckParity(const proto::ExecutionPlan& a, const proto::ExecutionPlan& b, const proto::JobConfig& config,
                         const ParityOptions& options);

// Distance of two floating-point numbers counted in representable ones: 0 for equal bits, 1 for neighbours, 1 between
// +0 and -0 (their bits differ), 2^64 - 1 when exactly one is NaN or two NaNs have different bits.
uint64_t UlpDistance(float a, float b);
uint64_t UlpDistance(double a, double b);

}  // namespace millrace

#endif  // RUNTIME_JOB_PARITY_H_
