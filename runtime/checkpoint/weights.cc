#include "runtime/checkpoint/weights.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/escaping.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/checksums.h"

namespace millrace {

absl::StatusOr<std::string> WeightsDigest(const TensorSource& weights) {
  const std::vector<NamedTensor>& tensors = weights.tensors();
  std::vector<int> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return tensors[a].name < tensors[b].name; });
  Sha256 sha256;
  std::vector<char> memory;
  for (int tensor : order) {
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(tensors[tensor].type));
    memory.resize(bytes);
    MR_RETURN_IF_ERROR(weights.Read(tensor, memory.data(), bytes));
    sha256.Update(memory.data(), bytes);
  }
  return absl::BytesToHexString(sha256.Finish());
}

}  // namespace millrace
