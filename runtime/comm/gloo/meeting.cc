// Barrier and AllGather.
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/comm/gloo/communicator.h"

namespace millrace::gloo_comm {

absl::Status GlooCommunicator::Barrier() { return Meet(nullptr, nullptr, 0, "Barrier"); }

absl::Status GlooCommunicator::AllGather(const void* mine, void* all, uint64_t bytes) {
  return Meet(mine, all, bytes, "AllGather");
}

absl::Status GlooCommunicator::Meet(const void* mine, void* all, uint64_t bytes, const char* name) {
  if (first_error_.set()) return Aborted();
  const auto swap = [&](uint64_t number, const void* given, void* to, uint64_t each) {
    return Swap(number, given, to, each, name);
  };
  const absl::Status status = meeting_.Gather(mine, all, bytes, swap);
  if (status.ok()) return status;
  Abort(status);
  return Aborted();
}

absl::Status GlooCommunicator::Swap(uint64_t number, const void* mine, void* all, uint64_t bytes, const char* name) {
  const uint32_t index = records_.Take();
  Record& record = records_[index];
  char* to = static_cast<char*>(all);
  if (to + rank_ * bytes != mine) std::memcpy(to + rank_ * bytes, mine, bytes);
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    record.transfers.push_back({true, peer, number, to + rank_ * bytes, bytes});
    record.transfers.push_back({false, peer, number, to + peer * bytes, bytes});
  }
  for (size_t i = 0; i < record.transfers.size(); ++i) {
    record.parcels.push_back(std::make_unique<Parcel>(mesh_, record.transfers[i].memory, bytes));
    Start(&record, i, SlotOf(SlotKind::kMeeting, number, bytes));
  }
  const auto what = [&] {
    return absl::StrCat("rank ", rank_, " waits in ", name, " ", number / 2, " for ranks", Missing(record));
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
