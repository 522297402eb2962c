// One rank's communicator over MPI. The receiver opens each transfer: it takes a free tag of MPI's, posts its receive
// there, and tells the sender "ready: tag T of yours, so many bytes, on MPI's tag t". The sender, who has both byte
// counts then, sends or reports the difference. So our 64-bit tags never meet MPI's few.
#ifndef RUNTIME_COMM_MPI_MPI_COMMUNICATOR_H_
#define RUNTIME_COMM_MPI_MPI_COMMUNICATOR_H_

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "runtime/comm/communicator.h"
#include "runtime/comm/first_error.h"
#include "runtime/comm/meeting.h"
#include "runtime/comm/mpi/library.h"
#include "runtime/comm/records.h"

namespace millrace::mpi {

// All that is sent beside payload. Plain bytes, of ranks of one kind of machine.
struct ControlRecord {
  enum Kind : uint32_t { kReady = 1, kFarewell, kAbort, kHeard };
  uint32_t kind = 0;
  uint32_t code = 0;   // kAbort: the first error, with `text`
  uint32_t space = 0;  // kReady: the transfer
  int32_t mpi_tag = 0;
  uint64_t tag = 0;
  uint64_t bytes = 0;
  uint32_t text_bytes = 0;
  char text[476] = {};
};
static_assert(sizeof(ControlRecord) == 512);

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(Library* library, MPI_Comm world, const CommunicatorOptions& options);
  ~MpiCommunicator() override;

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
  enum Space : uint32_t { kTransfers, kMeetings };        // whose tags they are
  using Key = std::tuple<int, uint32_t, bool, uint64_t>;  // peer, space, send, tag
  struct Half {
    Transfer transfer;
    bool moving = false, done = false;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  struct Record : RecordBase {
    Space space = kTransfers;
    std::vector<Half> halves;
  };
  struct Ready {
    uint64_t bytes;
    int mpi_tag;
  };
  struct Peer {
    bool left = false, heard = false;
    int next_tag = 1;
  };
  struct Letter {
    ControlRecord record;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  // mpi_communicator.cc: the rank's own thread, without the library's lock
  absl::StatusOr<uint32_t> PostIn(Space space, absl::Span<const Transfer> group);
  absl::Status Check(absl::Span<const Transfer> group) const;
  bool Settled(const Record& record) const;  // with the lock
  absl::Status Await(const Record& record, const std::function<std::string()>& what);
  absl::Status Conclude(uint32_t index, absl::Status status, const std::function<std::string()>& what);
  absl::Status Meet(const void* mine, void* all, uint64_t bytes, const char* name);
  absl::Status Aborted();

  // mpi_progress.cc: with the library's lock, by any thread
  void Progress();
  void Open(Half* half, Space space);
  void Meet(int peer, uint32_t space, Half* half, const Ready& ready);
  void Read(int peer, const ControlRecord& record);
  void Send(int peer, const ControlRecord& record);
  void Tell(ControlRecord::Kind kind);
  bool AllHeard() const;
  void Retire(uint32_t index);
  void Fail(int code, const char* call);
  void Serve();  // takes the lock itself
  void Leave();

  Library* const library_;
  const MPI_Comm world_;
  const CommunicatorOptions options_;
  int rank_ = 0, size_ = 0, spins_ = 0;
  FirstError first_error_;

  // Guarded by the library's lock.
  Records<Record> records_;
  std::map<Key, Half*> halves_;             // not done
  std::map<Key, std::deque<Ready>> ready_;  // receivers that wait for a send of ours
  std::vector<Peer> peers_;
  std::list<Letter> letters_;
  std::vector<Letter> incoming_;  // a ring of posted receives; MPI fills them in order
  size_t head_ = 0;
  bool told_ = false;
  std::chrono::steady_clock::time_point give_up_;  // set by the first transfer that an error leaves half way

  Meeting meeting_;
  bool cleaned_ = false;
  std::mutex sleep_mutex_;
  std::condition_variable sleep_;  // cut short by an abort or the end
  std::atomic<bool> stopping_{false};
  std::thread server_;
};

}  // namespace millrace::mpi

#endif  // RUNTIME_COMM_MPI_MPI_COMMUNICATOR_H_
