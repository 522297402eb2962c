// Packed weights, made again when the weights have changed.
#ifndef RUNTIME_WORKER_PACKS_H_
#define RUNTIME_WORKER_PACKS_H_

#include <vector>

#include "absl/status/status.h"
#include "kernels/device.h"
#include "runtime/worker/bind.h"

namespace millrace {

// Makes the packs (indices into binding->packs) from the weights as they stand: what PREPARE means. How old a pack is
// says nothing while a step is under way: some weights are new then and others are not.
absl::Status Pack(Stream& stream, const std::vector<int>& packs, Binding* binding);
// Before a program: makes those of its packs that are older than binding->weights_version.
absl::Status PackStale(Stream& stream, const BoundProgram& program, Binding* binding);

}  // namespace millrace

#endif  // RUNTIME_WORKER_PACKS_H_
