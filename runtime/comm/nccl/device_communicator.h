// One rank's communicator over NCCL: transfers go to the streams of their groups, tickets are events there.
//
// Before two ranks trust that they run the same program, each transfer has a slip: both ranks tell each other tag and
// bytes through the host's communicator, beside the transfer, not before it. A difference aborts; so do time limits and
// what NCCL reports; and an abort ends NCCL's kernels, after which every stream moves on.
#ifndef RUNTIME_COMM_NCCL_DEVICE_COMMUNICATOR_H_
#define RUNTIME_COMM_NCCL_DEVICE_COMMUNICATOR_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/comm/nccl/comms.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/comm/patience.h"
#include "runtime/comm/records.h"

namespace millrace::nccl {

class DeviceCommunicator : public NcclCommunicator {
 public:
  DeviceCommunicator(NcclApi* api, Exchange* exchange, std::unique_ptr<Communicator> control,
                     const NcclOptions& options);
  ~DeviceCommunicator() override;

  absl::Status Attach(Device* device) override;
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override { return PostOn(nullptr, group); }
  absl::StatusOr<Ticket> PostAfter(Stream& stream, absl::Span<const Transfer> group) override {
    return PostOn(&stream, group);
  }
  bool Done(Ticket ticket) override;
  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override;
  absl::Status WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what) override;

  absl::Status Barrier() override { return control_->Barrier(); }
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    return control_->AllGather(mine, all, bytes);
  }
  void Abort(absl::Status why) override;
  absl::Status Failure() const override { return control_->Failure(); }

  absl::Status Register(void* memory, uint64_t bytes) override;
  void Unregister() override { comms_.Unregister(); }
  int communicators() const override { return comms_.size(); }
  absl::StatusOr<Ticket> Start(const Collective& collective, Stream* after) override;
  absl::StatusOr<Ticket> StartOrdered(const Collective& collective, Stream* after, const SumFn& sum) override;

 private:
  // What a rank says of a transfer. On both sides it is number `n` of its direction between the two.
  struct Slip {
    uint64_t tag = 0;
    uint64_t bytes = 0;
  };
  // One posted group or collective. The owner changes it under the lock; the watcher reads it under the lock.
  struct Record : RecordBase {
    bool device_waits = false;  // somebody waits for it on a stream, so nobody looks at the clock
    bool warned = false;
    Patience::Clock::time_point posted;
    std::vector<Transfer> transfers;             // in the order of posting
    std::vector<int> channels;                   // that it uses
    std::vector<std::unique_ptr<Event>> events;  // events[i] of channels[i]; kept for the next use
    std::unique_ptr<Event> begin;                // of the stream that it follows
    std::vector<Slip> mine, theirs;              // of the first transfers
    bool slips_on_their_way = false;
    Ticket slips = 0;  // of control_
  };

  // ---- device_communicator.cc
  absl::StatusOr<Ticket> PostOn(Stream* after, absl::Span<const Transfer> group);
  absl::Status NotAttached() const;
  absl::Status Check(absl::Span<const Transfer> group);
  absl::StatusOr<uint32_t> Take();  // an open record
  absl::Status Launch(Record* record);
  absl::Status Begin(Stream* after, Record* record);  // its channels wait for `after`
  absl::Status End(Record* record);                   // its events
  absl::Status SendSlips(Record* record);
  absl::Status CompareSlips(Record* record);
  bool Ready(const Record& record) const;
  absl::StatusOr<bool> Advance(Record* record);
  absl::Status Await(Record* record, const std::function<std::string()>& what);
  void Retire(uint32_t index);
  void RetireFinished();
  absl::Status Fail(const absl::Status& status);
  absl::Status Aborted();
  Patience::Clock::time_point LaunchUntil() const;
  int ChannelOf(const Transfer& transfer) const;

  // ---- set_up.cc
  absl::Status Open(const UniqueId& id);  // streams, communicators, first words over each connection
  absl::Status Connect(char* words, Patience::Clock::time_point until);

  // ---- device_collectives.cc
  struct Shape;
  absl::StatusOr<Shape> ShapeOf(const Collective& collective) const;
  absl::StatusOr<Ticket> Enqueue(const Collective& collective, Stream* after,
                                 const std::function<absl::Status(const Shape&)>& work);
  absl::Status LaunchCollective(const Collective& collective, const Shape& shape);
  absl::Status LaunchOrdered(const Collective& collective, const Shape& shape, const SumFn& sum);

  // ---- watcher.cc
  void Watch();
  absl::Status Overdue();

  NcclApi* const api_;
  Exchange* const exchange_;  // until attached
  Device* device_ = nullptr;  // null: not attached yet
  const NcclOptions options_;
  const int rank_, size_, spins_;
  const GroupRoutes routes_;
  std::vector<std::unique_ptr<Stream>> streams_;  // by channel
  Comms comms_;

  std::mutex records_mutex_;
  Records<Record> records_;
  std::vector<uint64_t> sent_, received_;  // by peer: how many transfers, for slips
  std::vector<Transfer> slip_transfers_;
  bool cleaned_ = false;

  std::mutex watcher_mutex_;
  std::condition_variable watcher_wakes_;
  bool stopping_ = false, abort_now_ = false;
  std::unique_ptr<Communicator> control_;  // dies before what its transfers point to
  std::thread watcher_;
};

}  // namespace millrace::nccl

#endif  // RUNTIME_COMM_NCCL_DEVICE_COMMUNICATOR_H_
