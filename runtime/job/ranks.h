// The ranks of a plan that this process runs, each as a thread: all of them, or those that a launcher gave to this
// process. Each rank's thread owns its device and its worker; commands go to all ranks here at once.
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
#include "runtime/job/whereabouts.h"
#include "runtime/worker/worker.h"

namespace millrace {

using OpenDeviceFn = std::function<absl::StatusOr<std::unique_ptr<Device>>(absl::string_view kind, int rank,
                                                                           const DeviceOptions& options)>;
// The communicator of one rank among all ranks of the plan. Shared, so that who hears of a failure elsewhere can abort
// it.
using MakeCommunicatorFn = std::function<absl::StatusOr<std::shared_ptr<Communicator>>(int rank)>;

// What a rank calls with where it stands and whom it waits for (Whereabouts); empty: nothing.
using MakeStandFn = std::function<StandFn(int rank)>;

struct RanksOptions {
  std::string device_kind;  // empty: the plan's
  int threads = 0;          // of each rank; 0: cores / ranks on this host, at least 1
  uint64_t seed = 0;
  OpenDeviceFn open_device;  // empty: OpenDevice of kernels/backends.h. Called on the rank's thread

  std::vector<int> here;  // the ranks of this process, rising; empty: all
  int on_this_host = 0;   // how many ranks share this host's cores; 0: those of this process
  // Of the first rank here, among those of this host: they take its devices in turn, more than one each where there are
  // fewer.
  int local_rank = 0;
  // Called on the rank's thread, for all ranks here at once. Empty: in_process, for which all ranks must be here.
  MakeCommunicatorFn make_communicator;
  CommunicatorOptions communication;  // of the in_process ones
  MakeStandFn make_stand;             // on the rank's thread, once it is connected; empty: nobody wants to know
  std::string faults;                 // of any rank (rank_faults.h)
};

// What one rank works with. Touched by the rank's thread inside Each, by the owner of Ranks between two of them.
struct Seat {
  int rank = 0;
  std::unique_ptr<Device> device;
  std::unique_ptr<Whereabouts> whereabouts;  // outlives the communicator and the worker, which tell it
  std::shared_ptr<Communicator> communicator;
  std::unique_ptr<Worker> worker;  // dies before the device
  std::vector<Fault> lost_messages;
};

// One thread uses it: everything but Abort.
class Ranks {
 public:
  // Starts the threads and connects the ranks with each other, without devices: enough to agree (agree.h). Every
  // process of the run calls it. The plan must have passed VerifyPlan and must outlive the ranks.
  static absl::StatusOr<std::unique_ptr<Ranks>> Connect(const proto::ExecutionPlan& plan, const RanksOptions& options);
  // Opens the devices and makes the workers, each on its rank's thread. Once.
  absl::Status Open();
  // Both.
  static absl::StatusOr<std::unique_ptr<Ranks>> Start(const proto::ExecutionPlan& plan, const RanksOptions& options);
  ~Ranks();

  // Runs `work` on the thread of every rank here and waits for all. The first error in time wins: it aborts the
  // communicators, so that every other rank's wait ends, and is returned with its rank in front, now and by every later
  // call.
  absl::Status Each(const std::function<absl::Status(Seat&)>& work);

  // Ends the waits of all ranks, here and as far as the transport reaches elsewhere. Any thread.
  void Abort(const absl::Status& why);

  // Where the workers' inputs come from, from the next Each on. Called by all ranks at once.
  void SetFeed(LoadFn feed) { feed_ = std::move(feed); }

  int size() const { return static_cast<int>(position_.size()); }  // of the plan
  const std::vector<int>& here() const { return here_; }
  bool all_here() const { return static_cast<int>(here_.size()) == size(); }
  bool is_here(int rank) const { return position_[rank] >= 0; }
  bool has_root() const { return is_here(0); }  // the process of rank 0 decides, and writes what is written once
  // A process is named by the lowest of its ranks, which speaks for it.
  int process_of(int rank) const { return process_of_[rank]; }
  int this_process() const { return here_[0]; }
  const std::vector<int>& processes() const { return processes_; }  // all of them, rising

  int threads_per_rank() const { return threads_per_rank_; }
  // `rank` must be here.
  Seat& seat(int rank) { return seats_[position_[rank]]; }
  Worker& worker(int rank) const { return *seats_[position_[rank]].worker; }

 private:
  Ranks(const proto::ExecutionPlan& plan, const RanksOptions& options, std::vector<int> here);
  absl::Status PlanFaults();
  absl::Status ConnectSeat(Seat& seat);
  absl::Status OpenSeat(Seat& seat);
  absl::Status FindProcesses();
  void Serve(Seat& seat);
  void Finished(Seat& seat, const absl::Status& status);

  const proto::ExecutionPlan& plan_;
  RanksOptions options_;
  int threads_per_rank_ = 1;
  LoadFn feed_;
  std::vector<int> here_;
  std::vector<int> position_;  // by rank: its index in seats_; -1: it is elsewhere
  std::vector<Seat> seats_;
  std::vector<int> process_of_, processes_;
  bool connected_ = false;  // every seat has its communicator

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
