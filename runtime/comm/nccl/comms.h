// The communicators of NCCL that one rank has: the one of all ranks and its children, made, used, polled and ended
// together. None of them blocks: a call that is in progress is asked about until it is over.
#ifndef RUNTIME_COMM_NCCL_COMMS_H_
#define RUNTIME_COMM_NCCL_COMMS_H_

#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/comm/nccl/groups.h"
#include "runtime/comm/nccl/nccl_api.h"

namespace millrace::nccl {

// Open, Call, Register, Unregister and Close by the owner's thread; Check and Abort by any.
class Comms {
 public:
  using Clock = std::chrono::steady_clock;

  // `failure` is asked while a call is in progress: its error ends the wait. Any thread may be in it.
  Comms(NcclApi* api, int rank, int size, std::function<absl::Status()> failure)
      : api_(api), rank_(rank), size_(size), failure_(std::move(failure)) {}
  ~Comms() { Abort(); }  // what Close has not ended

  // Makes the communicator of all ranks, then a child for each group that this rank is in. All ranks call it with the
  // same id and groups. Channel 0 is the one of all ranks.
  absl::Status Open(const UniqueId& id, const std::vector<NcclGroup>& groups, Clock::time_point until);

  int size() const { return static_cast<int>(channels_.size()); }
  // The channel of a group; -1: this rank is not in it.
  int channel_of(int group) const { return channel_of_group_[group]; }
  absl::string_view name(int channel) const { return channels_[channel].name; }
  const std::vector<int>& ranks(int channel) const { return channels_[channel].ranks; }
  // What a rank of the job is called in a channel; -1: it is not there.
  int index_of(int channel, int rank) const;

  // Makes `calls` as one group of NCCL's. They may use only the communicators of `channels`, each of which is on its
  // stream when this returns. The function gets the communicator of a channel.
  using CommOf = std::function<Comm(int channel)>;
  absl::Status Call(absl::Span<const int> channels, const std::function<Code(const CommOf&)>& calls,
                    Clock::time_point until);

  absl::Status Register(void* memory, uint64_t bytes);
  void Unregister();

  // An error that NCCL has noticed by itself.
  absl::Status Check();
  // Ends NCCL's kernels and communicators. Afterwards everything is ABORTED. Idempotent; returns when it is done.
  void Abort();
  bool aborted();
  // In good order, all ranks together; aborts what the others have not ended until then.
  void Close(Clock::time_point until);

 private:
  struct Channel {
    std::string name;
    std::vector<int> ranks;
    Comm comm = nullptr;
    void* registered = nullptr;
  };

  void Forget();  // registered memory
  // Asks until `comm` is not in progress any more.
  absl::Status Settle(Comm comm, absl::string_view what, Clock::time_point until);
  absl::Status ToStatus(Code code, Comm comm, absl::string_view what);
  absl::Status Aborted() const;

  NcclApi* const api_;
  const int rank_, size_;
  const std::function<absl::Status()> failure_;
  std::mutex mutex_;  // around every call; none of them blocks
  bool aborted_ = false;
  std::deque<Channel> channels_;  // stable addresses
  std::vector<int> channel_of_group_;
};

}  // namespace millrace::nccl

#endif  // RUNTIME_COMM_NCCL_COMMS_H_
