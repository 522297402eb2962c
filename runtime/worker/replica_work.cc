#include "runtime/worker/replica_work.h"

#include "proto/status_macros.h"
#include "runtime/trace/ring.h"
#include "runtime/worker/tags.h"

namespace millrace {
namespace {

std::string Nothing() { return ""; }

}  // namespace

int ReplicaWork::FirstPeer() const {
  for (const Part& part : parts_) {
    for (const Transfer& transfer : part.transfers) {
      if (!transfer.send) return transfer.peer;
    }
  }
  return -1;
}

absl::Status ReplicaWork::Start(Stream& stream) {
  at_ = 0;
  TakeTurn();
  return Post(stream);
}

void ReplicaWork::TakeTurn() {
  for (Part& part : parts_) {
    for (Transfer& transfer : part.transfers) transfer.tag ^= kTagTurn;
  }
}

absl::Status ReplicaWork::Post(Stream& stream) {
  if (at_ == parts_.size() || parts_[at_].transfers.empty()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(ticket_, communicator_->PostAfter(stream, parts_[at_].transfers));
  return absl::OkStatus();
}

absl::Status ReplicaWork::Next(Stream& stream) {
  if (parts_[at_].then) MR_RETURN_IF_ERROR(parts_[at_].then(stream));
  ++at_;
  return Post(stream);
}

absl::StatusOr<bool> ReplicaWork::Advance(Stream& stream) {
  for (; at_ < parts_.size();) {
    if (!parts_[at_].transfers.empty()) {
      if (!communicator_->Done(ticket_)) return false;
      // At once; with the error, where there is one.
      MR_RETURN_IF_ERROR(communicator_->WaitOn(stream, ticket_, Nothing));
    }
    MR_RETURN_IF_ERROR(Next(stream));
  }
  return true;
}

absl::Status ReplicaWork::Finish(Stream& stream, const std::function<std::string()>& what, int64_t* waited) {
  for (; at_ < parts_.size();) {
    if (!parts_[at_].transfers.empty()) {
      const int64_t start = TraceRing::Now();
      const absl::Status status = communicator_->WaitOn(stream, ticket_, what);
      *waited += TraceRing::Now() - start;
      MR_RETURN_IF_ERROR(status);
    }
    MR_RETURN_IF_ERROR(Next(stream));
  }
  return absl::OkStatus();
}

}  // namespace millrace
