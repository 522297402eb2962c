// The coordinator's knowledge of a job: who is there, when each was last heard, what they gather, and the first error.
// It knows no network and no clock: words, losses and instants come in, words go out.
#ifndef RUNTIME_RENDEZVOUS_ROSTER_H_
#define RUNTIME_RENDEZVOUS_ROSTER_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/control.pb.h"
#include "runtime/rendezvous/admission.h"
#include "runtime/rendezvous/gather_rounds.h"
#include "runtime/rendezvous/hang_report.h"
#include "runtime/rendezvous/job_failure.h"

namespace millrace {

struct RosterOptions {
  absl::Duration beat = absl::Milliseconds(100);  // both sides speak at least this often
  absl::Duration silence = absl::Seconds(10);     // a rank not heard for so long has hung
  // A report that somebody else's end explains (IsConsequence) waits so long for the cause.
  absl::Duration settle = absl::Milliseconds(400);
  int host_rank = -1;  // the rank whose process this is; -1: a process of its own
};

// Any thread may call anything. Messages go out and `on_failure` is called before the call that causes them returns.
class Roster {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  using Message = std::shared_ptr<const proto::ToRank>;
  using Outlet = std::function<void(Message)>;  // takes a message for one rank; must not block nor call back

  // `on_failure` is called once, without locks held, when the job has failed; it may be empty.
  Roster(JobIdentity identity, const RosterOptions& options, std::function<void(const JobFailure&)> on_failure,
         Instant now);

  // A rank with a proven token takes its seat; `welcome` is the first message into its outlet. The statuses of
  // CheckClaim; ALREADY_EXISTS when the seat was taken before; FAILED_PRECONDITION with the first error when the job
  // has failed.
  absl::Status Enter(const proto::Claim& claim, absl::string_view from, Message welcome, Outlet outlet, Instant now);
  // A word from a rank that has its seat. INVALID_ARGUMENT for one that does not belong there.
  absl::Status Hear(int rank, const proto::FromRank& word, Instant now);
  // The rank's connection is gone. Without Leave before, the rank has died.
  void Lose(int rank, absl::string_view how, Instant now);
  // Beats, silences, settling. To be called about every beat/2.
  void Tick(Instant now);
  // The owner of the coordinator has seen why the job ends, or ends it. No effect when it has failed already.
  void Fail(const JobFailure& failure);
  // The coordinator is about to cut its connections: from now on nobody is told anything, and no loss is a death.
  void Close();

  std::optional<JobFailure> failure() const;
  bool HasJoined(int rank) const;
  bool complete() const;  // every rank has come
  std::string Report(Instant now) const;
  // Whether within `patience` every rank that came has left or is lost.
  bool AwaitEmpty(absl::Duration patience) const;

 private:
  struct Seat {
    bool taken = false;    // somebody came
    bool there = false;    // and is connected
    bool left = false;     // with Leave
    bool witness = false;  // has reported what somebody else's end looks like
    bool noted = false;
    Instant heard, moved;  // last word; last change of position
    proto::Position position;
    std::string from;
    Outlet outlet;
  };

  // All below: the mutex is held.
  absl::Status Seated(int rank, const proto::FromRank& word, Instant now);
  void Contribute(int rank, const proto::Gather& gather);
  void Testify(int rank, const proto::Failure& failure, Instant now);
  void Decide(JobFailure failure);
  absl::Duration Suspension(Instant now) const;
  void CheckSilence(Instant now);
  std::string Whereabouts(int rank) const;
  std::vector<Standing> Standings(Instant now) const;
  Message RollCall() const;
  void Tell(const Message& message);

  // Releases the lock and tells the owner what has just been decided.
  void Publish(std::unique_lock<std::mutex>& lock);

  const RosterOptions options_;
  const std::function<void(const JobFailure&)> on_failure_;

  mutable std::mutex mutex_;
  mutable std::condition_variable emptied_;
  JobIdentity identity_;
  std::vector<Seat> seats_;
  int joined_ = 0;
  GatherRounds rounds_;
  std::optional<JobFailure> failure_;
  bool published_ = false, closed_ = false;
  std::optional<JobFailure> testimony_;  // the first report that waits for its cause
  Instant testimony_until_, last_tick_, next_beat_;
  // The last time that this process was itself suspended for longer than the silence, if ever.
  absl::Duration suspension_ = absl::ZeroDuration();
  Instant woke_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_ROSTER_H_
