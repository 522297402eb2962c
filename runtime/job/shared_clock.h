// One clock for the traces of several processes.
#ifndef RUNTIME_JOB_SHARED_CLOCK_H_
#define RUNTIME_JOB_SHARED_CLOCK_H_

#include "absl/status/statusor.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Seconds of this process's steady clock.
double Now();

// Seconds to add to Now() to get rank 0's: measured by a few messages there and back, right to half of the fastest. 0
// where the two run on one clock, as all processes of a host do. Every process calls it, as in agree.h.
absl::StatusOr<double> SecondsBehindRoot(Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_SHARED_CLOCK_H_
