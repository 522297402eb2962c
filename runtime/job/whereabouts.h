// Where one rank stands, and whom it waits for. The worker says at which instruction it is; what the worker does not
// see, that a collective waits for a certain rank, is added here. Membership hears it all, for hang reports, and faults
// strike here.
#ifndef RUNTIME_JOB_WHEREABOUTS_H_
#define RUNTIME_JOB_WHEREABOUTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/job/rank_faults.h"
#include "runtime/worker/worker.h"

namespace millrace {

// Standpoint.peer of a rank that waits until all have come.
inline constexpr int kEveryRank = -2;

// Used by the rank's thread only, and by the owner of Ranks while that thread rests.
class Whereabouts {
 public:
  // `tell` may be empty. The plan must outlive it.
  Whereabouts(const proto::ExecutionPlan& plan, int rank, std::vector<PointFault> faults)
      : plan_(plan), rank_(rank), faults_(std::move(faults)), passed_(faults_.size(), 0) {}
  void TellTo(StandFn tell) { tell_ = std::move(tell); }
  // Nobody listens and nothing is to go wrong: then stand() is empty, and the communicator needs no wrapping.
  bool idle() const { return !tell_ && faults_.empty(); }

  // For WorkerOptions::stand. The result must not outlive this.
  StandFn stand();
  // The rank runs this program of the plan from now on; training steps count from 1, other programs have step 0.
  void Begin(absl::string_view program, uint64_t step);
  // It is between programs: `what` it does there stands in reports.
  void Between(absl::string_view what);
  // It passes a point of JobPoints.
  void Pass(absl::string_view point);

  // Around the waits of collectives: for that rank, or kEveryRank. No effect where the worker itself has said whom it
  // waits for.
  void WaitFor(int peer);
  void Resume();

 private:
  void Stand(const Standpoint& stand);
  void MeetFaults(PointFault::When when, absl::string_view point, absl::string_view narrower = "");
  void MeetFaultsAt(PointFault::When when, int64_t instruction);
  const proto::RankProgram& ListOf(int rank) const {
    return program_->ranks(rank % program_->ranks_size());  // equal replicas run equal lists
  }
  int64_t OtherHalf(int64_t instruction, int peer) const;

  const proto::ExecutionPlan& plan_;
  const int rank_;
  StandFn tell_;
  const std::vector<PointFault> faults_;
  std::vector<uint64_t> passed_;  // by fault: how often its point was passed

  const proto::Program* program_ = nullptr;  // nullptr: between programs
  uint64_t step_ = 0;
  Standpoint last_;
  bool added_ = false;  // last_.peer is what WaitFor has said
  int64_t current_ = -1;  // the instruction that began last
  // By program and instruction: what stands in reports, where that is more than the kind.
  std::map<const proto::Program*, std::vector<std::string>> words_;
};

// `inner`, whose waits tell `whereabouts` for which rank. A group that waits for several ranks, as collectives do, tells
// of those that it still waits for, one after another. Both must outlive it; threads as for any communicator.
std::unique_ptr<Communicator> MakeNotingCommunicator(std::shared_ptr<Communicator> inner, Whereabouts* whereabouts);

}  // namespace millrace

#endif  // RUNTIME_JOB_WHEREABOUTS_H_
