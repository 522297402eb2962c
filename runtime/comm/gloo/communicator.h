// One rank's communicator over links. Four kinds of threads meet here: the rank's own, gloo's loop (which moves payload
// and reports), a watcher (which reads control records, and tells the others of an error), and whoever calls Abort.
#ifndef RUNTIME_COMM_GLOO_COMMUNICATOR_H_
#define RUNTIME_COMM_GLOO_COMMUNICATOR_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/first_error.h"
#include "runtime/comm/gloo/control.h"
#include "runtime/comm/gloo/link.h"
#include "runtime/comm/gloo/sockets.h"
#include "runtime/comm/meeting.h"
#include "runtime/comm/records.h"

namespace millrace::gloo_comm {

class GlooCommunicator : public Communicator, private LinkObserver {
 public:
  // `sockets` by rank, none for this one; their other ends are adopted at the same time.
  static absl::StatusOr<std::unique_ptr<Communicator>> Make(std::shared_ptr<gloo::transport::tcp::Device> device,
                                                            int rank, std::vector<Socket> sockets,
                                                            const CommunicatorOptions& options);
  ~GlooCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override;
  bool Done(Ticket ticket) override;
  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override;
  absl::Status Barrier() override;
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override;
  void Abort(absl::Status why) override;
  absl::Status Failure() const override { return first_error_.Get(); }

 private:
  // One posted group, or the messages of one meeting. The rank's thread only; the parcels of open halves are looked at
  // under mutex_ by the watcher.
  struct Record : RecordBase {
    std::vector<Transfer> transfers;
    std::vector<std::unique_ptr<Parcel>> parcels;
  };
  // What the watcher answers questions from.
  using HalfKey = std::tuple<int, bool, uint64_t>;  // peer, send, tag
  struct Half {
    uint64_t bytes = 0;
    Parcel* parcel = nullptr;
    uint64_t use = 0;
  };
  struct Peer {
    std::atomic<bool> lost{false};
    std::string why;  // the rest under mutex_
    bool left = false, heard = false, mourned = false;
  };

  GlooCommunicator(std::shared_ptr<gloo::transport::tcp::Device> device, int rank, int size,
                   const CommunicatorOptions& options);

  // communicator.cc: transfers
  absl::Status Announce(Record* record);
  void Start(Record* record, size_t i, uint64_t slot);
  bool Settled(const Record& record) const;
  absl::Status Await(const Record& record, const std::function<std::string()>& what);
  absl::Status Conclude(uint32_t index, absl::Status status, const std::function<std::string()>& what);
  void Retire(uint32_t index);
  void Ask(const Record& record);
  absl::Status Aborted();

  // meeting.cc: collectives
  absl::Status Meet(const void* mine, void* all, uint64_t bytes, const char* name);
  absl::Status Swap(uint64_t number, const void* mine, void* all, uint64_t bytes, const char* name);
  std::string Missing(const Record& record) const;

  // watcher.cc: everything that is not the rank's own thread, and the end
  void Progressed() override;
  void Lost(int peer, const std::string& why) override;
  void Watch();
  void Listen();
  void Read();
  void Answer(int peer, const ControlRecord& question);
  void Mourn();
  void Tell(ControlRecord::Kind kind);
  bool AllHeard() const;
  absl::Status Gone(int peer);
  void Leave();

  const int rank_, size_;
  const CommunicatorOptions options_;
  const int spins_;
  FirstError first_error_;
  std::shared_ptr<Mesh> mesh_;
  Outbox outbox_;
  ControlRecord incoming_;
  std::unique_ptr<Parcel> control_;

  // The rank's own thread.
  Records<Record> records_;
  Meeting meeting_;
  bool cleaned_ = false;

  // Taken after a link's lock where both are held; so no link is called while it is held.
  mutable std::mutex mutex_;
  std::condition_variable wake_;   // for the rank's thread
  std::condition_variable watch_;  // for the watcher
  std::atomic<int> parked_{0};
  absl::flat_hash_map<HalfKey, Half> halves_;
  // How often each has been used. The nth half here belongs to the nth half there: a question that comes late, when the
  // tag is in use again, must not be taken for one about the new use.
  absl::flat_hash_map<HalfKey, uint64_t> uses_;
  std::deque<Peer> peers_;
  bool told_ = false, leaving_ = false, stopping_ = false;
  std::thread watcher_;
};

}  // namespace millrace::gloo_comm

#endif  // RUNTIME_COMM_GLOO_COMMUNICATOR_H_
