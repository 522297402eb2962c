#include "runtime/worker/replica_queue.h"

#include "proto/status_macros.h"

namespace millrace {

void ReplicaQueue::Clear() {
  works_.clear();
  first_ = begun_ = 0;
}

absl::Status ReplicaQueue::Begin(Stream& stream) { return works_[begun_++]->Start(stream); }

absl::StatusOr<bool> ReplicaQueue::Advance(Stream& stream) {
  bool oldest_done = false;
  for (size_t i = first_; i < works_.size(); ++i) {
    if (i == begun_) {
      if (i > first_ && !works_[i - 1]->only_waits()) break;
      MR_RETURN_IF_ERROR(Begin(stream));
    }
    MR_ASSIGN_OR_RETURN(const bool done, works_[i]->Advance(stream));
    if (i == first_) oldest_done = done;
  }
  return oldest_done;
}

absl::Status ReplicaQueue::Finish(Stream& stream, const std::function<std::string()>& what, int64_t* waited) {
  if (begun_ == first_) MR_RETURN_IF_ERROR(Begin(stream));
  return works_[first_++]->Finish(stream, what, waited);
}

}  // namespace millrace
