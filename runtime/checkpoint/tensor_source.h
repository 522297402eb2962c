// Tensors by name, wherever they are: in a file, in several workers, in a test's vectors.
#ifndef RUNTIME_CHECKPOINT_TENSOR_SOURCE_H_
#define RUNTIME_CHECKPOINT_TENSOR_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/model.pb.h"

namespace millrace {

struct NamedTensor {
  std::string name;
  proto::TensorType type;  // concrete
};

// Bytes of a tensor; INVALID_ARGUMENT for an unknown element type, a negative size or a product that overflows.
absl::StatusOr<uint64_t> TensorBytes(const proto::TensorType& type);

// Names are unique. One thread at a time.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual const std::vector<NamedTensor>& tensors() const = 0;
  // Writes tensor i, row-major and little endian; `bytes` is its size.
  virtual absl::Status Read(int tensor, void* memory, uint64_t bytes) const = 0;
};

// What a checkpoint saves and restores: parameters and optimizer state, each on one rank. Where several processes hold
// one store, each lists all tensors and has some of them.
class ParameterStore : public TensorSource {
 public:
  virtual int rank(int tensor) const = 0;  // whose data file it goes to
  // Does this process want it when a checkpoint is read?
  virtual bool is_here(int tensor) const { return true; }
  virtual absl::Status Write(int tensor, const void* memory, uint64_t bytes) = 0;
};

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_TENSOR_SOURCE_H_
