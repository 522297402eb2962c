// One start of all ranks of a job: until every process has ended.
#ifndef RUNTIME_SUPERVISE_ATTEMPT_H_
#define RUNTIME_SUPERVISE_ATTEMPT_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/rendezvous/server.h"
#include "runtime/supervise/child.h"
#include "runtime/supervise/prefixed_lines.h"
#include "runtime/supervise/stop_signals.h"
#include "runtime/supervise/supervisor.h"
#include "runtime/supervise/verdict.h"

namespace millrace {

// Used by one thread.
class Attempt {
 public:
  // `incarnation` counts the starts before. `signals` outlives the attempt.
  Attempt(const SuperviseOptions& options, int incarnation, StopSignals* signals);
  ~Attempt();

  // Starts the ranks, carries their output, forwards signals, removes the rest when one fails.
  absl::StatusOr<Verdict> Run();
  int stop_signal() const { return stop_signal_; }

 private:
  using Instant = std::chrono::steady_clock::time_point;
  struct Rank {
    std::optional<Child> child;
    std::optional<PrefixedLines> out, err;
    std::optional<ChildEnd> end;
    Instant ended_at;
    bool removed = false;
  };

  absl::Status StartCoordinator();
  absl::Status StartRank(int rank);
  std::vector<std::string> EnvironmentOf(int rank) const;
  void Poll();
  int PollPatienceMs() const;
  void TakeSignals();
  void TakeEnds();
  void PumpOutput();
  // The job has failed: tells the ranks, and from now on their time runs.
  void BeginEnd();
  void RemoveRest();
  int Alive() const;
  bool OutputOpen() const;

  const SuperviseOptions& options_;
  const int incarnation_;
  StopSignals* const signals_;
  int token_fd_ = -1, failed_fd_ = -1;
  std::unique_ptr<RendezvousServer> coordinator_;
  std::vector<Rank> ranks_;

  int stop_signal_ = 0;
  std::optional<Instant> witness_at_;  // a rank ended and said that another one is gone
  std::optional<Instant> failed_at_;
  std::optional<Instant> all_ended_at_;
};

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_ATTEMPT_H_
