#include "runtime/comm/in_process_hub.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "runtime/comm/patience.h"

namespace millrace::in_process {

Hub::Hub(int size, const CommunicatorOptions& options)
    : size_(size),
      options_(options),
      spins_(SpinsBeforeParking(size)),
      seats_(size),
      mailboxes_(static_cast<size_t>(size) * size) {
  meeting_.present.assign(size, false);
  for (std::vector<std::string>& staging : meeting_.staging) staging.resize(size);
}

void Hub::Offer(Record* record) {
  for (const Transfer& transfer : record->transfers) OfferOne(record, transfer);
}

void Hub::OfferOne(Record* record, const Transfer& transfer) {
  const int source = transfer.send ? record->rank : transfer.peer;
  const int destination = transfer.send ? transfer.peer : record->rank;
  Mailbox& box = mailbox(source, destination);
  Half other;
  bool twice = false;
  {
    std::lock_guard<std::mutex> lock(box.mutex);
    auto found = box.waiting.end();
    for (auto half = box.waiting.begin(); half != box.waiting.end(); ++half) {
      if (half->tag != transfer.tag) continue;
      if (half->send == transfer.send) twice = true;
      if (half->send != transfer.send) found = half;
    }
    if (found != box.waiting.end()) {
      other = *found;
      *found = box.waiting.back();
      box.waiting.pop_back();
    } else if (!twice) {
      box.waiting.push_back({transfer.send, transfer.tag, transfer.memory, transfer.bytes, record});
      return;
    }
  }
  if (other.record == nullptr) {
    return Fail(record, absl::StrCat("rank ", record->rank, transfer.send ? " sends to" : " receives from", " rank ",
                                     transfer.peer, " with tag ", transfer.tag,
                                     ", but a transfer with that peer, direction and tag is already in flight"));
  }
  if (other.bytes != transfer.bytes) {
    const uint64_t sent = transfer.send ? transfer.bytes : other.bytes;
    const uint64_t expected = transfer.send ? other.bytes : transfer.bytes;
    const std::string error = absl::StrCat("rank ", source, " sends ", sent, " bytes with tag ", transfer.tag,
                                           " to rank ", destination, ", which expects ", expected);
    Fail(other.record, error);
    return Fail(record, error);
  }
  if (const absl::Status moved = Move(record, transfer, other); !moved.ok()) {
    Fail(other.record, std::string(moved.message()));
    return Fail(record, std::string(moved.message()));
  }
  Complete(other.record);
  Complete(record);
}

absl::Status Hub::Move(Record* record, const Transfer& transfer, const Half& other) {
  if (transfer.bytes == 0) return absl::OkStatus();
  const bool here = seats_[record->rank].device.load() != nullptr, there = seats_[transfer.peer].device.load() != nullptr;
  if (here && there) return MoveOnDevice(record, transfer, other);
  if (here || there) return absl::InvalidArgumentError("one of the two ranks is attached to a device, the other is not");
  std::memcpy(transfer.send ? other.memory : transfer.memory, transfer.send ? transfer.memory : other.memory,
              transfer.bytes);
  return absl::OkStatus();
}

void Hub::Complete(Record* record) {
  Seat& seat = seats_[record->rank];
  if (record->remaining.fetch_sub(1) == 1) Wake(seat);
}

void Hub::Fail(Record* record, const std::string& error) {
  Seat& seat = seats_[record->rank];
  {
    std::lock_guard<std::mutex> lock(seat.mutex);
    if (record->error.empty()) record->error = error;
    record->failed.store(true);
    seat.wake.notify_all();
  }
  Complete(record);
}

// Sequentially consistent with Park: either the waiter sees the completion or this sees the waiter.
void Hub::Wake(Seat& seat) {
  if (seat.parked.load() == 0) return;
  std::lock_guard<std::mutex> lock(seat.mutex);
  seat.wake.notify_all();
}

void Hub::Cancel(Record* record) {
  for (const Transfer& transfer : record->transfers) {
    const int source = transfer.send ? record->rank : transfer.peer;
    const int destination = transfer.send ? transfer.peer : record->rank;
    Mailbox& box = mailbox(source, destination);
    std::lock_guard<std::mutex> lock(box.mutex);
    auto half = std::find_if(box.waiting.begin(), box.waiting.end(), [&](const Half& h) {
      return h.record == record && h.tag == transfer.tag && h.send == transfer.send;
    });
    if (half == box.waiting.end()) continue;
    *half = box.waiting.back();
    box.waiting.pop_back();
    record->remaining.fetch_sub(1);
  }
  while (record->remaining.load() != 0) std::this_thread::yield();
}

absl::Status Hub::Await(int rank, const std::function<bool()>& ready, const std::function<std::string()>& what) {
  for (int i = 0; i < spins_; ++i) {
    if (aborted()) return FirstError();
    if (ready()) return absl::OkStatus();
    std::this_thread::yield();
  }
  return Park(rank, ready, what);
}

absl::Status Hub::Park(int rank, const std::function<bool()>& ready, const std::function<std::string()>& what) {
  Seat& seat = seats_[rank];
  Patience patience(options_);
  const auto describe = [&] { return what ? what() : absl::StrCat("rank ", rank, " waits for a transfer"); };
  absl::Status status;
  seat.parked.fetch_add(1);
  std::unique_lock<std::mutex> lock(seat.mutex);
  while (status.ok()) {
    if (aborted()) {
      status = FirstError();
      break;
    }
    if (ready()) break;
    if (seat.wake.wait_until(lock, patience.next()) == std::cv_status::no_timeout || aborted() || ready()) continue;
    lock.unlock();
    status = patience.Overdue(describe);
    lock.lock();
  }
  seat.parked.fetch_sub(1);
  return status;
}

absl::Status Hub::AllGather(int rank, const void* mine, void* all, uint64_t bytes, const char* name) {
  if (aborted()) return FirstError();
  uint64_t generation;
  bool last;
  {
    std::lock_guard<std::mutex> lock(meeting_.mutex);
    generation = meeting_.generation.load();
    std::vector<std::string>& staging = meeting_.staging[generation & 1];
    staging[rank].assign(static_cast<const char*>(mine), bytes);
    meeting_.present[rank] = true;
    last = ++meeting_.arrived == size_;
    if (last) {
      std::string& error = meeting_.error[generation & 1];
      error.clear();
      for (int r = 0; r < size_ && error.empty(); ++r) {
        if (staging[r].size() == staging[0].size()) continue;
        error = absl::StrCat("rank 0 gives ", staging[0].size(), " bytes to collective ", generation, " and rank ", r,
                             " gives ", staging[r].size());
      }
      meeting_.arrived = 0;
      meeting_.present.assign(size_, false);
      meeting_.generation.store(generation + 1);
    }
  }
  if (last) {
    for (Seat& seat : seats_) Wake(seat);
  } else {
    absl::Status status = Await(
        rank, [&] { return meeting_.generation.load() != generation; },
        [&] { return absl::StrCat("rank ", rank, " waits in ", name, " ", generation, " for ", Missing()); });
    if (!status.ok()) {
      // This rank is already counted in, so the meeting cannot be used again.
      Abort(status);
      return FirstError();
    }
  }
  if (!meeting_.error[generation & 1].empty()) return absl::InvalidArgumentError(meeting_.error[generation & 1]);
  char* to = static_cast<char*>(all);
  for (int r = 0; r < size_ && bytes > 0; ++r) {
    std::memcpy(to + r * bytes, meeting_.staging[generation & 1][r].data(), bytes);
  }
  return absl::OkStatus();
}

std::string Hub::Missing() {
  std::lock_guard<std::mutex> lock(meeting_.mutex);
  std::string text = "ranks";
  for (int r = 0; r < size_; ++r) {
    if (!meeting_.present[r]) absl::StrAppend(&text, " ", r);
  }
  return text;
}

void Hub::Abort(const absl::Status& why) {
  if (!first_error_.Set(why)) return;
  for (Seat& seat : seats_) {
    std::lock_guard<std::mutex> lock(seat.mutex);
    seat.wake.notify_all();
  }
}

}  // namespace millrace::in_process
