// A ParameterStore in vectors.
#ifndef TESTS_RUNTIME_CHECKPOINT_MEMORY_STORE_H_
#define TESTS_RUNTIME_CHECKPOINT_MEMORY_STORE_H_

#include <cstring>
#include <string>
#include <vector>

#include "runtime/checkpoint/tensor_source.h"

namespace millrace {

class MemoryStore : public ParameterStore {
 public:
  void Add(const std::string& name, proto::DataType dtype, std::vector<int64_t> dims, int rank, int seed) {
    NamedTensor tensor{name, {}};
    tensor.type.set_dtype(dtype);
    for (int64_t dim : dims) tensor.type.add_dims(dim);
    std::string bytes(*TensorBytes(tensor.type), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>((i * 37 + seed * 101) % 251);
    tensors_.push_back(tensor);
    ranks_.push_back(rank);
    contents.push_back(bytes);
  }

  const std::vector<NamedTensor>& tensors() const override { return tensors_; }
  int rank(int tensor) const override { return ranks_[tensor]; }
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override {
    if (bytes != contents[tensor].size()) return absl::InternalError("wrong size");
    std::memcpy(memory, contents[tensor].data(), bytes);
    return absl::OkStatus();
  }
  absl::Status Write(int tensor, const void* memory, uint64_t bytes) override {
    if (bytes != contents[tensor].size()) return absl::InternalError("wrong size");
    contents[tensor].assign(static_cast<const char*>(memory), bytes);
    ++writes;
    return absl::OkStatus();
  }

  std::vector<std::string> contents;
  int writes = 0;

 private:
  std::vector<NamedTensor> tensors_;
  std::vector<int> ranks_;
};

// Two ranks, a scalar, an empty tensor, types of three sizes.
inline MemoryStore SmallStore(int seed) {
  MemoryStore store;
  store.Add("wte", proto::F32, {5, 3}, 0, seed);
  store.Add("adamw.m/wte", proto::F32, {5, 3}, 0, seed + 1);
  store.Add("scale", proto::F64, {}, 1, seed + 2);
  store.Add("half", proto::BF16, {3}, 1, seed + 3);
  store.Add("nothing", proto::F32, {0, 4}, 1, seed + 4);
  return store;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_CHECKPOINT_MEMORY_STORE_H_
