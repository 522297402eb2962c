// What the communicators of one process share: mailboxes where the two halves of a transfer meet, a seat per rank to
// park on, one meeting point for collectives, and the first error.
//
// Whoever posts second copies, and completes both halves. A half's record is never touched after its last completion,
// so its owner may use it again as soon as `remaining` is zero.
//
// Memory of devices is copied on a stream of the rank that posts second, after what each of the two streams held when
// its rank posted; the record then has an event for each copy, and nobody's host has waited for a device.
#ifndef RUNTIME_COMM_IN_PROCESS_HUB_H_
#define RUNTIME_COMM_IN_PROCESS_HUB_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/device.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/first_error.h"
#include "runtime/comm/records.h"

namespace millrace::in_process {

// One posted group.
struct Record : RecordBase {
  // By any thread.
  std::atomic<int> remaining{0};
  std::atomic<bool> failed{false};
  std::string error;  // guarded by the seat's mutex
  // By the owner only.
  int rank = 0;
  std::vector<Transfer> transfers;
  // Of device memory.
  std::unique_ptr<Event> begin;                // of the stream that the transfers come after; kept for the next use
  bool follows = false;                        // `begin` counts
  bool device_waits = false;                   // a stream waits for it: the owner gives it back when it sees it done
  std::vector<std::shared_ptr<Event>> copies;  // guarded by the seat's mutex until `remaining` is zero
};

// A half that waits for the other one.
struct Half {
  bool send = false;
  uint64_t tag = 0;
  void* memory = nullptr;
  uint64_t bytes = 0;
  Record* record = nullptr;
};

// Few halves wait between two ranks at a time: searches are linear.
struct alignas(64) Mailbox {
  std::mutex mutex;
  std::vector<Half> waiting;
};

// A rank's place to park and its records. Lives as long as the hub, because others complete transfers here.
struct alignas(64) Seat {
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<int> parked{0};
  Records<Record> records;  // owner only
  // Null: transfers are of the host's memory. Set before the first transfer.
  std::atomic<Device*> device{nullptr};
  std::unique_ptr<Stream> copying;                  // of this rank's copies. Owner only
  std::vector<std::shared_ptr<Event>> copy_events;  // free ones have no other owner. Owner only
};

class Hub {
 public:
  Hub(int size, const CommunicatorOptions& options);

  int size() const { return size_; }
  Seat& seat(int rank) { return seats_[rank]; }

  // Offers every transfer of the record, copying where the other half is already there.
  void Offer(Record* record);
  absl::Status Attach(int rank, Device* device);
  // Takes back the halves that nobody met and waits for those being copied: then nobody touches their memory any more.
  void Cancel(Record* record);

  // Blocks until ready(), the first error (returned), or the time limit (DEADLINE_EXCEEDED).
  absl::Status Await(int rank, const std::function<bool()>& ready, const std::function<std::string()>& what);
  absl::Status AllGather(int rank, const void* mine, void* all, uint64_t bytes, const char* name);

  void Abort(const absl::Status& why);
  bool aborted() const { return first_error_.set(); }
  absl::Status FirstError() const { return first_error_.Get(); }

 private:
  // The meeting point. Two sets of staging: a rank may enter collective g + 1 while others still read g, but g + 2
  // starts only after all have left g.
  struct Meeting {
    std::mutex mutex;
    std::atomic<uint64_t> generation{0};
    int arrived = 0;
    std::vector<bool> present;
    std::vector<std::string> staging[2];
    std::string error[2];
  };

  Mailbox& mailbox(int source, int destination) { return mailboxes_[source * size_ + destination]; }
  void OfferOne(Record* record, const Transfer& transfer);
  // The bytes of two halves that have met, by the rank of `record`.
  absl::Status Move(Record* record, const Transfer& transfer, const Half& other);
  absl::Status MoveOnDevice(Record* record, const Transfer& transfer, const Half& other);
  void Complete(Record* record);
  void Fail(Record* record, const std::string& error);
  void Wake(Seat& seat);
  absl::Status Park(int rank, const std::function<bool()>& ready, const std::function<std::string()>& what);
  std::string Missing();

  const int size_;
  const CommunicatorOptions options_;
  const int spins_;
  std::deque<Seat> seats_;
  std::deque<Mailbox> mailboxes_;
  Meeting meeting_;
  millrace::FirstError first_error_;
};

}  // namespace millrace::in_process

#endif  // RUNTIME_COMM_IN_PROCESS_HUB_H_
