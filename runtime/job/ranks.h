// The ranks of a plan as threads of this process. Each rank's thread owns its device and its worker; commands go to all
// ranks at once.
#ifndef RUNTIME_JOB_RANKS_H_
#define RUNTIME_JOB_RANKS_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/worker/worker.h"

namespace millrace {

using OpenDeviceFn = std::function<absl::StatusOr<std::unique_ptr<Device>>(absl::string_view kind, int rank,
                                                                           const DeviceOptions& options)>;

struct RanksOptions {
  std::string device_kind;  // empty: the plan's
  int threads = 0;          // of each rank; 0: cores / ranks, at least 1
  uint64_t seed = 0;
  CommunicatorOptions communication;
  OpenDeviceFn open_device;  // empty: OpenDevice of kernels/backends.h. Called on the rank's thread
};

// What one rank works with. Touched by the rank's thread inside Each, by the owner of Ranks between two of them.
struct Seat {
  int rank = 0;
  std::unique_ptr<Device> device;
  std::unique_ptr<Communicator> communicator;
  std::unique_ptr<Worker> worker;  // dies before the device
};

// One thread uses it: Start, Each, SetFeed and the seats.
class Ranks {
 public:
  // Opens the devices and makes the workers, each on its rank's thread. The plan must have passed VerifyPlan and must
  // outlive the ranks.
  static absl::StatusOr<std::unique_ptr<Ranks>> Start(const proto::ExecutionPlan& plan, const RanksOptions& options);
  ~Ranks();

  // Runs `work` on every rank's thread and waits for all. The first error in time wins: it aborts the communicators, so
  // that every other rank's wait ends, and is returned with its rank in front, now and by every later call.
  absl::Status Each(const std::function<absl::Status(Seat&)>& work);

  // Where the workers' inputs come from, from the next Each on. Called by all ranks at once.
  void SetFeed(LoadFn feed) { feed_ = std::move(feed); }

  int size() const { return static_cast<int>(seats_.size()); }
  int threads_per_rank() const { return threads_per_rank_; }
  Seat& seat(int rank) { return seats_[rank]; }
  Worker& worker(int rank) const { return *seats_[rank].worker; }

 private:
  Ranks(const proto::ExecutionPlan& plan, const RanksOptions& options);
  absl::Status Open(const proto::ExecutionPlan& plan, const RanksOptions& options, Seat& seat);
  void Serve(Seat& seat);
  void Finished(Seat& seat, const absl::Status& status);

  int threads_per_rank_ = 1;
  LoadFn feed_;
  std::vector<Seat> seats_;

  std::mutex mutex_;
  std::condition_variable commanded_, answered_;
  uint64_t command_ = 0;  // how many there have been
  bool closing_ = false;
  int working_ = 0;
  const std::function<absl::Status(Seat&)>* work_ = nullptr;
  absl::Status first_error_;

  std::vector<std::thread> threads_;
};

}  // namespace millrace

#endif  // RUNTIME_JOB_RANKS_H_
