#include "runtime/job/gathered_weights.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/agree.h"

namespace millrace {
namespace {

constexpr int64_t kNoMore = -1;

}  // namespace

absl::Status GatheredWeights::Read(int tensor, void* memory, uint64_t bytes) const {
  const int owner = store_.rank(tensor);
  if (ranks_->is_here(owner)) return store_.Read(tensor, memory, bytes);
  const int process = ranks_->process_of(owner);
  const int64_t question = tensor;
  MR_RETURN_IF_ERROR(SendTo(ranks_, process, &question, sizeof(question), "which tensor it needs"));
  return ReceiveFrom(ranks_, process, memory, bytes, store_.tensors()[tensor].name);
}

absl::Status GatheredWeights::Release() {
  for (int process : ranks_->processes()) {
    if (process == ranks_->this_process()) continue;
    MR_RETURN_IF_ERROR(SendTo(ranks_, process, &kNoMore, sizeof(kNoMore), "that it has all tensors"));
  }
  return absl::OkStatus();
}

absl::Status ServeWeights(const ParameterStore& store, Ranks* ranks) {
  std::vector<char> memory;
  while (true) {
    int64_t question = kNoMore;
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, 0, &question, sizeof(question), "which tensor it needs"));
    if (question == kNoMore) return absl::OkStatus();
    if (question < 0 || question >= static_cast<int64_t>(store.tensors().size())) {
      return absl::InternalError(absl::StrCat("rank 0 asks for tensor ", question, " of ", store.tensors().size()));
    }
    const int tensor = static_cast<int>(question);
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(store.tensors()[tensor].type));
    memory.resize(bytes);
    MR_RETURN_IF_ERROR(store.Read(tensor, memory.data(), bytes));
    MR_RETURN_IF_ERROR(SendTo(ranks, 0, memory.data(), bytes, store.tensors()[tensor].name));
  }
}

}  // namespace millrace
