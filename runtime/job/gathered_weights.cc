#include "runtime/job/gathered_weights.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "runtime/job/agree.h"

namespace millrace {
namespace {

constexpr int64_t kNoMore = -1;

}  // namespace

absl::StatusOr<GatheredWeights> GatheredWeights::Of(const ParameterStore& store, Ranks* ranks) {
  MR_ASSIGN_OR_RETURN(std::vector<TensorPart> parts, store.parts());
  return GatheredWeights(store, ranks, std::move(parts));
}

absl::Status GatheredWeights::Read(int tensor, void* memory, uint64_t bytes) const {
  const NamedTensor& wanted = store_.tensors()[tensor];
  const uint64_t size = SizeOf(wanted.type.dtype());
  for (size_t i = 0; i < parts_.size(); ++i) {
    const TensorPart& part = parts_[i];
    if (part.tensor != tensor) continue;
    if (part.end * size > bytes) return absl::InternalError(absl::StrCat(wanted.name, ": more than ", bytes, " bytes"));
    char* const to = static_cast<char*>(memory) + part.begin * size;
    const uint64_t part_bytes = (part.end - part.begin) * size;
    if (ranks_->is_here(part.rank)) {
      MR_RETURN_IF_ERROR(store_.ReadPart(part, to, part_bytes));
      continue;
    }
    const int process = ranks_->process_of(part.rank);
    const int64_t question = static_cast<int64_t>(i);
    MR_RETURN_IF_ERROR(SendTo(ranks_, process, &question, sizeof(question), "which tensor it needs"));
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks_, process, to, part_bytes, wanted.name));
  }
  return absl::OkStatus();
}

absl::Status GatheredWeights::Release() {
  for (int process : ranks_->processes()) {
    if (process == ranks_->this_process()) continue;
    MR_RETURN_IF_ERROR(SendTo(ranks_, process, &kNoMore, sizeof(kNoMore), "that it has all tensors"));
  }
  return absl::OkStatus();
}

absl::Status ServeWeights(const ParameterStore& store, Ranks* ranks) {
  MR_ASSIGN_OR_RETURN(const std::vector<TensorPart> parts, store.parts());
  std::vector<char> memory;
  while (true) {
    int64_t question = kNoMore;
    MR_RETURN_IF_ERROR(ReceiveFrom(ranks, 0, &question, sizeof(question), "which tensor it needs"));
    if (question == kNoMore) return absl::OkStatus();
    if (question < 0 || question >= static_cast<int64_t>(parts.size())) {
      return absl::InternalError(absl::StrCat("rank 0 asks for part ", question, " of ", parts.size()));
    }
    const TensorPart& part = parts[question];
    const NamedTensor& tensor = store.tensors()[part.tensor];
    memory.resize((part.end - part.begin) * SizeOf(tensor.type.dtype()));
    MR_RETURN_IF_ERROR(store.ReadPart(part, memory.data(), memory.size()));
    MR_RETURN_IF_ERROR(SendTo(ranks, 0, memory.data(), memory.size(), tensor.name));
  }
}

}  // namespace millrace
