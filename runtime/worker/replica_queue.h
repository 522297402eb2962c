// REDUCEs and GATHERs of one channel: what ranks do together beside the RUNs, in the order of the list.
//
// One begins when the one before has nothing more to post and has done with its staging, which the next may use: while
// the replicas still give each other the sums of one bucket, the gradients of the next are on their way. So every rank
// posts in the same order, whatever it sees done first.
#ifndef RUNTIME_WORKER_REPLICA_QUEUE_H_
#define RUNTIME_WORKER_REPLICA_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/worker/replica_work.h"

namespace millrace {

// The rank's thread only; the works outlive it.
class ReplicaQueue {
 public:
  void Clear();
  void Push(ReplicaWork* work) { works_.push_back(work); }
  // Takes the steps that have become possible. Is the oldest done?
  absl::StatusOr<bool> Advance(Stream& stream);
  // Blocks until the oldest is done, as ReplicaWork::Finish, and removes it. There is one.
  absl::Status Finish(Stream& stream, const std::function<std::string()>& what, int64_t* waited);

 private:
  absl::Status Begin(Stream& stream);  // the first that has not begun

  std::vector<ReplicaWork*> works_;  // of the program that runs
  size_t first_ = 0, begun_ = 0;     // those before first_ are done, those before begun_ have begun
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_REPLICA_QUEUE_H_
