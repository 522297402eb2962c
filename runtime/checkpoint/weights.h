// The one number that says whether two sets of weights are the same.
#ifndef RUNTIME_CHECKPOINT_WEIGHTS_H_
#define RUNTIME_CHECKPOINT_WEIGHTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/checkpoint/tensor_source.h"

namespace millrace {

// SHA-256, lower-case hexadecimal, over the tensors in the byte order of their names: of each, its elements in
// row-major order, little endian, and nothing else. Names, shapes and types are not hashed. Trainer and `inspect` both
// use it: over the trained parameters without their optimizer state, which is what weights.safetensors holds.
absl::StatusOr<std::string> WeightsDigest(const TensorSource& weights);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_WEIGHTS_H_
