// NCCL among threads, on streams of AsyncDevice: it moves bytes, keeps NCCL's order, blocks where NCCL blocks, and
// writes down every call. It is the strictest NCCL there could be: nothing is buffered, a transfer ends when both sides
// stand at it; and what NCCL leaves undefined (calls while in progress, after an abort, outside of a group) is a
// misuse.
#ifndef TESTS_RUNTIME_COMM_NCCL_FAKE_NCCL_H_
#define TESTS_RUNTIME_COMM_NCCL_FAKE_NCCL_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/comm/nccl/nccl_api.h"
#include "tests/kernels/async_device.h"

namespace millrace::nccl {

struct FakeCall {
  std::string name;  // "Send", "Split", "GroupStart", ...
  int comm = -1;     // this rank's communicators, in the order of making; 0: of all ranks
  int peer = -1;     // in the communicator; of Split: the color
  uint64_t bytes = 0;
};

// What the ranks share.
class FakeWorld {
 public:
  explicit FakeWorld(int size) : size(size) {}

  // One operation of one rank on a communicator.
  struct Op {
    FakeCall call;
    const void* from = nullptr;
    void* to = nullptr;
    uint64_t bytes = 0;  // of transfers and copies; of sums, all of them
    uint64_t count = 0;
    DType dtype = proto::U8;
    int peer = -1;  // or root
    bool done = false;
  };
  // A communicator as all its ranks see it. Everything under the world's lock.
  struct Clique {
    int size = 0;
    int arrived = 0, finalized = 0;
    std::map<std::pair<int, int>, std::deque<Op*>> sends, receives;  // by (from, to)
    std::set<std::pair<int, int>> wanted;                            // connections, by (who, whom)
    std::vector<uint64_t> collectives;                               // by rank: how many
    std::map<uint64_t, std::vector<Op*>> meetings;                   // by number
    // Splits: by number, what each rank said.
    std::map<int, std::map<int, std::pair<int, int>>> splits;
    std::map<std::pair<int, int>, std::shared_ptr<Clique>> children;  // by (number, color)
  };

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<UniqueId, std::shared_ptr<Clique>> roots;
  int ids = 0;
};

// One rank's NCCL.
class FakeNccl : public NcclApi {
 public:
  explicit FakeNccl(FakeWorld* world) : world_(world) {}
  ~FakeNccl() override;

  int version = 22809;
  // How many more times AsyncError says that a launch is in progress.
  int slow_launches = 0;
  void InjectError(Code code) { injected_.store(code); }
  std::vector<FakeCall> calls();
  std::vector<std::string> misuses();  // must be empty

  Code Version(int* out) override { return *out = version, Code::kSuccess; }
  Code UseDeviceOf(void* stream) override { return stream == nullptr ? Code::kUnhandledCudaError : Code::kSuccess; }
  Code GetUniqueId(UniqueId* id) override;
  Code InitRank(Comm* comm, int size, const UniqueId& id, int rank) override;
  Code Split(Comm parent, int color, int key, bool share, Comm* child) override;
  Code AsyncError(Comm comm, Code* state) override;
  Code Finalize(Comm comm) override;
  Code Destroy(Comm comm) override;
  Code Abort(Comm comm) override;
  Code Register(Comm comm, void* memory, uint64_t bytes, void** handle) override;
  Code Deregister(Comm comm, void* handle) override;
  Code GroupStart() override;
  Code GroupEnd() override;
  Code Send(const void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override;
  Code Recv(void* memory, uint64_t bytes, int peer, Comm comm, void* stream) override;
  Code Broadcast(const void* from, void* to, uint64_t bytes, int root, Comm comm, void* stream) override;
  Code AllGather(const void* from, void* to, uint64_t bytes, Comm comm, void* stream) override;
  Code AllReduce(const void* from, void* to, uint64_t count, DType dtype, Comm comm, void* stream) override;
  Code Reduce(const void* from, void* to, uint64_t count, DType dtype, int root, Comm comm, void* stream) override;
  Code ReduceScatter(const void* from, void* to, uint64_t count_each, DType dtype, Comm comm, void* stream) override;
  std::string Describe(Code code, Comm) override { return "fake error " + std::to_string(static_cast<int>(code)); }

 private:
  using Op = FakeWorld::Op;
  using Clique = FakeWorld::Clique;
  struct FakeComm {
    int number = 0;
    int rank = 0;
    std::shared_ptr<Clique> clique;
    std::atomic<bool> aborted{false};
    bool finalizing = false, gone = false;
    int splits = 0;
    Comm* child = nullptr;  // of a split that is not over
    int split_color = 0;
    std::vector<std::pair<int, int>> connecting;
    int slow = 0;
  };
  struct Launch {
    FakeComm* comm;
    AsyncStream* stream;
    std::vector<std::shared_ptr<Op>> ops;
  };

  FakeComm* Use(Comm comm, const char* call);
  Code Add(const char* name, Comm comm, void* stream, Op op);
  Code NoteAndReturn(FakeCall call, Code code);
  bool SplitIsOver(FakeComm* comm);
  bool InProgress(FakeComm* comm);
  absl::Status RunOps(FakeComm* comm, const std::vector<std::shared_ptr<Op>>& ops);
  void OfferTransfer(FakeComm* comm, Op* op);
  void OfferCollective(FakeComm* comm, Op* op);
  static void Perform(const std::vector<Op*>& ops);
  static void Withdraw(FakeComm* comm, const std::vector<std::shared_ptr<Op>>& ops);

  FakeWorld* const world_;
  std::deque<FakeComm> comms_;  // for ever: a use after the end is seen
  int depth_ = 0;
  std::vector<Launch> group_;
  std::vector<FakeCall> calls_;
  std::vector<std::string> misuses_;
  std::atomic<Code> injected_{Code::kSuccess};
};

}  // namespace millrace::nccl

#endif  // TESTS_RUNTIME_COMM_NCCL_FAKE_NCCL_H_
