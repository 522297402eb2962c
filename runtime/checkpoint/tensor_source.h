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

// Elements [begin, end) of a tensor, kept and saved by one rank.
struct TensorPart {
  int tensor = 0;
  uint64_t begin = 0, end = 0;
  int rank = 0;
};

// What a checkpoint saves and restores: parameters and optimizer state, each on one rank or in parts on several. Where
// several processes hold one store, each lists all tensors and has some of them.
class ParameterStore : public TensorSource {
 public:
  virtual int rank(int tensor) const = 0;  // that has it, or its first part
  // Every element of every tensor once, in the order of tensors and then of elements: which rank's data file it goes
  // to. Here: each tensor whole, on its rank.
  virtual absl::StatusOr<std::vector<TensorPart>> parts() const;
  // Reads a part whose rank is in this process; `bytes` is its size. Here: a whole tensor by Read, otherwise a slice of
  // it.
  virtual absl::Status ReadPart(const TensorPart& part, void* memory, uint64_t bytes) const;
  // Does this process want something of it when a checkpoint is read?
  virtual bool is_here(int tensor) const { return true; }
  // The whole tensor; the store keeps what belongs here.
  virtual absl::Status Write(int tensor, const void* memory, uint64_t bytes) = 0;
};

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_TENSOR_SOURCE_H_
