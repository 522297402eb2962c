// First values of parameters. A parameter's values depend on (seed, its name, its initialiser, its type) and on nothing
// else, so every place that holds a copy makes the same one.
#ifndef RUNTIME_WORKER_INITIALIZE_H_
#define RUNTIME_WORKER_INITIALIZE_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"

namespace millrace {

// The parameter's bytes, row-major, in its dtype (F32, F64, BF16, F16 or I64).
//
// Element e of a random tensor is made from words e % 4 of Philox block e / 4 (kernels/random.h, step and micro-batch
// 0): NORMAL pairs words (0, 1) and (2, 3) by Box & Muller ("A note on the generation of random normal deviates",
// 1958), computed in double for F64 and in float for the others.
//
// INVALID_ARGUMENT: unset kind; DATA of the wrong length; random or rotary values of an integer type; rotary tables
// that do not have two dimensions. UNIMPLEMENTED: another dtype.
absl::StatusOr<std::string> InitialValues(const proto::PlannedParameter& parameter, uint64_t seed);

}  // namespace millrace

#endif  // RUNTIME_WORKER_INITIALIZE_H_
