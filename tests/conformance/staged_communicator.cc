#include "tests/conformance/staged_communicator.h"

#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<Communicator::Ticket> StagedCommunicator::Post(absl::Span<const Transfer> group) {
  Staged staged;
  std::vector<Transfer> moved(group.begin(), group.end());
  for (Transfer& transfer : moved) {
    staged.host.push_back(transfer);
    staged.buffers.emplace_back();
    if (transfer.memory == nullptr || transfer.bytes == 0) continue;
    MR_ASSIGN_OR_RETURN(staged.buffers.back(), Take(transfer.bytes));
    void* const memory = staged.buffers.back().memory();
    if (transfer.send) MR_RETURN_IF_ERROR(device_->CopyIn(memory, transfer.memory, transfer.bytes));
    transfer.memory = memory;
  }
  MR_ASSIGN_OR_RETURN(const Ticket ticket, inner_->Post(moved));
  staged_[ticket] = std::move(staged);
  return ticket;
}

// Memory of a GPU is neither got nor given back while kernels run: that may wait for them, and they for another rank.
absl::StatusOr<Buffer> StagedCommunicator::Take(uint64_t bytes) {
  const auto fitting = free_.lower_bound(bytes);
  if (fitting == free_.end() || fitting->first > 2 * bytes + 4096) return device_->Allocate(bytes);
  Buffer buffer = std::move(fitting->second);
  free_.erase(fitting);
  return buffer;
}

void StagedCommunicator::GiveBack(Staged staged) {
  for (Buffer& buffer : staged.buffers) free_.emplace(buffer.bytes(), std::move(buffer));
}

bool StagedCommunicator::Done(Ticket ticket) {
  if (!inner_->Done(ticket)) return false;
  if (inner_->Failure().ok()) (void)Arrive(ticket);
  return true;
}

absl::Status StagedCommunicator::Wait(Ticket ticket, const std::function<std::string()>& what) {
  const absl::Status status = inner_->Wait(ticket, what);
  if (!status.ok()) {
    if (const auto found = staged_.find(ticket); found != staged_.end()) {
      GiveBack(std::move(found->second));
      staged_.erase(found);
    }
    return status;
  }
  return Arrive(ticket);
}

absl::Status StagedCommunicator::Arrive(Ticket ticket) {
  const auto found = staged_.find(ticket);
  if (found == staged_.end()) return absl::OkStatus();
  Staged staged = std::move(found->second);
  staged_.erase(found);
  for (size_t i = 0; i < staged.host.size(); ++i) {
    const Transfer& t = staged.host[i];
    if (t.send || t.bytes == 0) continue;
    MR_RETURN_IF_ERROR(device_->CopyOut(t.memory, staged.buffers[i].memory(), t.bytes));
  }
  GiveBack(std::move(staged));
  return absl::OkStatus();
}

}  // namespace millrace
