// Where chunks take turns in the same bytes: the whole gradients that a RUN writes, and the whole weights and packings
// that a GATHER makes. Rules `overlap`, `extent`, `capacity`.
#ifndef RUNTIME_PLAN_VERIFY_CHUNK_MEMORY_H_
#define RUNTIME_PLAN_VERIFY_CHUNK_MEMORY_H_

#include <vector>

#include "absl/status/status.h"
#include "runtime/plan/verify/persistent.h"

namespace millrace {

// Adds what chunks occupy to the ranges of each rank, as pieces that no longer overlap among themselves, after checking
// that nothing of one chunk shares bytes with the rest of it. Does nothing where nothing is divided.
absl::Status AddChunks(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings, PersistentMemory* memory);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_CHUNK_MEMORY_H_
