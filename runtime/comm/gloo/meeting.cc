// Barrier and AllGather: every rank hands every other a slip with its byte count, and its bytes when they fit.
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/gloo/communicator.h"

namespace millrace::gloo_comm {

absl::Status GlooCommunicator::Barrier() { return Meet(nullptr, nullptr, 0, "Barrier"); }

absl::Status GlooCommunicator::AllGather(const void* mine, void* all, uint64_t bytes) {
  return Meet(mine, all, bytes, "AllGather");
}

absl::Status GlooCommunicator::Meet(const void* mine, void* all, uint64_t bytes, const char* name) {
  if (first_error_.set()) return Aborted();
  Slip slip;
  slip.bytes = bytes;
  const bool fits = bytes <= sizeof(slip.payload);
  if (fits && bytes > 0) std::memcpy(slip.payload, mine, bytes);
  MR_RETURN_IF_ERROR(Swap(SlotKind::kMeeting, &slip, slips_.data(), sizeof(Slip), name));
  for (int r = 0; r < size_; ++r) {
    if (slips_[r].bytes == slips_[0].bytes) continue;
    Abort(absl::InvalidArgumentError(absl::StrCat("rank 0 gives ", slips_[0].bytes, " bytes to collective ", meetings_,
                                                  " and rank ", r, " gives ", slips_[r].bytes)));
    return Aborted();
  }
  if (fits) {
    for (int r = 0; r < size_ && bytes > 0; ++r) {
      std::memcpy(static_cast<char*>(all) + r * bytes, slips_[r].payload, bytes);
    }
  } else {
    MR_RETURN_IF_ERROR(Swap(SlotKind::kMeetingPayload, mine, all, bytes, name));
  }
  ++meetings_;
  return absl::OkStatus();
}

// `all` gets the `bytes` of every rank, in rank order; `mine` may already lie in its place there.
absl::Status GlooCommunicator::Swap(SlotKind kind, const void* mine, void* all, uint64_t bytes, const char* name) {
  const uint32_t index = Take();
  Record& record = records_[index];
  char* to = static_cast<char*>(all);
  if (to + rank_ * bytes != mine) std::memcpy(to + rank_ * bytes, mine, bytes);
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    record.transfers.push_back({true, peer, meetings_, to + rank_ * bytes, bytes});
    record.transfers.push_back({false, peer, meetings_, to + peer * bytes, bytes});
  }
  for (size_t i = 0; i < record.transfers.size(); ++i) {
    record.parcels.push_back(std::make_unique<Parcel>(mesh_, record.transfers[i].memory, bytes));
    Start(&record, i, SlotOf(kind, meetings_, bytes));
  }
  const auto what = [&] {
    return absl::StrCat("rank ", rank_, " waits in ", name, " ", meetings_, " for ranks", Missing(record));
  };
  return Conclude(index, Await(record, what), what);
}

std::string GlooCommunicator::Missing(const Record& record) const {
  std::string ranks;
  for (size_t i = 0; i < record.transfers.size(); ++i) {
    const Transfer& transfer = record.transfers[i];
    if (!transfer.send && !record.parcels[i]->Done()) absl::StrAppend(&ranks, " ", transfer.peer);
  }
  return ranks;
}

}  // namespace millrace::gloo_comm
