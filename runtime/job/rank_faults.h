// Faults on purpose, at chosen points of a run: a rank that is killed, stops, or loses a message. Always compiled in:
// what is tested is what runs. docs/faults.md has the grammar and the points.
#ifndef RUNTIME_JOB_RANK_FAULTS_H_
#define RUNTIME_JOB_RANK_FAULTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/comm/faulty.h"

namespace millrace {

// Strikes the process of a rank when the rank comes to a point.
struct PointFault {
  enum class Kind { kKill, kStop, kCrash, kSpin, kSleep };  // SIGKILL, SIGSTOP, SIGSEGV, for ever, for a while
  enum class When {
    kBefore,   // the rank comes to the instruction
    kWaiting,  // it waits there for another rank
    kAfter,    // it goes on to the next one
  };
  Kind kind = Kind::kKill;
  // An instruction's kind ("REDUCE"), RUN also with its phase ("RUN_F"), or a point of the job (JobPoints).
  std::string point;
  When when = When::kBefore;
  uint64_t step = 0;  // of training, from 1; 0: any program
  uint64_t nth = 1;   // of the times that the point is passed (in that step)
  absl::Duration sleep = absl::ZeroDuration();
};

struct RankFaults {
  std::vector<PointFault> points;
  std::vector<Fault> transfers;  // for MakeFaultyCommunicator

  bool empty() const { return points.empty() && transfers.empty(); }
};

// Points outside of programs: "JOIN" (before a rank connects), "JOINED", "CHECKPOINT" (its file is written, nothing
// is committed), "COMMIT" (rank 0: all files are there, their manifest is not).
const std::vector<std::string>& JobPoints();

// Those of `rank`. "kill:rank=1:at=RUN_F:step=3, stop:rank=0:at=REDUCE:when=waiting, drop:rank=2:send:peer=0:nth=5".
// INVALID_ARGUMENT names the word that is not understood, whichever rank it is for.
absl::StatusOr<RankFaults> ParseRankFaults(absl::string_view text, int rank);

// Does it to this process. Returns after a sleep, and when a stopped process is continued.
void Strike(const PointFault& fault);

}  // namespace millrace

#endif  // RUNTIME_JOB_RANK_FAULTS_H_
