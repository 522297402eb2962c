// Packed weights, made again when the weights have changed.
#ifndef RUNTIME_WORKER_PACKS_H_
#define RUNTIME_WORKER_PACKS_H_

#include <vector>

#include "absl/status/status.h"
#include "kernels/device.h"
#include "runtime/worker/bind.h"

namespace millrace {

// Makes those of the packs (indices into binding->packs) that are older than binding->weights_version.
absl::Status PackStale(Stream& stream, const std::vector<int>& packs, Binding* binding);
// The same for all that a program uses.
absl::Status PackStale(Stream& stream, const BoundProgram& program, Binding* binding);

}  // namespace millrace

#endif  // RUNTIME_WORKER_PACKS_H_
