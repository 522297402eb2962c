// Where a step's time went: every moment of every rank, as work by kind or waiting by cause. Works alike for a
// predicted and a measured trace of the same plan.
//
// The compute channel of a rank is cut, from 0 to the end of the step, into segments without gaps or overlaps: the sum
// of all work and all waiting of a rank is the step. Let instruction i of the channel have its turn at t and begin to
// work at b, and let a be the last to end of what its `after` names. Then [t, b] is split at these moments, in this
// order:
//
//   a is a SEND        SLOT until a has ended: i writes bytes that the transfer still reads.
//   a is a RECV        DATA until the instructions have ended that its SEND and those before it on its channel wait
//   for,
//                      and while the sender stands elsewhere: the tensor was not there yet; peer is its maker's rank.
//                      LINK while the channel of the SEND, or of the RECV, is busy with an earlier transfer.
//                      SLOT until what the RECV and those before it on its channel wait for has ended: the bytes were
//                      still in use.
//                      LINK until a has ended: the transfer was under way.
//   i is a collective  PEER until the last party has arrived.
//   what is left       CORE: nothing was missing but a core (or the host thread) to run on. Only measured traces have
//   it.
//
// Gaps between the end of an instruction and the next one's turn are CORE too. What a rank waits before it has begun
// its first RUN is FILL, whatever the cause; what comes after its last instruction is DONE. A kernel that takes longer
// than predicted is work, not waiting.
#ifndef RUNTIME_PLAN_ATTRIBUTE_H_
#define RUNTIME_PLAN_ATTRIBUTE_H_

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

enum class Work { kForward, kBackward, kWeight, kWholeBackward, kRecompute, kLoad, kCollective, kOptimizer };
inline constexpr int kWorks = 8;
enum class Wait { kFill, kData, kLink, kSlot, kPeer, kCore, kDone };
inline constexpr int kWaits = 7;

// "forward", "backward input", "weight", ...: for tables, JSON keys (with '_') and CSV.
absl::string_view WorkName(Work work);
// "fill", "data", "link", "slot", "peer", "core", "done"
absl::string_view WaitName(Wait wait);

// A piece of a rank's time. `instruction` is the one that works or waits; -1: after the last.
struct Segment {
  double begin = 0, end = 0;  // seconds
  bool works = false;
  Work work = Work::kForward;  // where it works
  Wait wait = Wait::kCore;     // where it waits
  int instruction = -1;
  int peer = -1;   // the rank that is waited for, where there is one
  int stage = -1;  // of the instruction; of the one before it, where it has none
};

// Seconds of one step.
struct TimeParts {
  std::array<double, kWorks> work = {};
  std::array<double, kWaits> wait = {};
  // Transfers' work while the compute channel waited for it (LINK) and the work of collectives.
  double exposed = 0;
  // Transfers' work, of both directions and each counted alone, while the compute channel was at work. No host sees
  // when a transfer ends while both are at work: a measured one is taken to last no longer than the plan says.
  double hidden = 0;

  double Of(Work w) const { return work[static_cast<int>(w)]; }
  double Of(Wait w) const { return wait[static_cast<int>(w)]; }
  double Kernels() const;  // inside RUN
  double AllWork() const;
  double AllWaiting() const;
};

struct RankTime : TimeParts {
  std::vector<Segment> segments;    // ascending, from 0 to the step's end
  std::map<int, double> data_from;  // DATA by the rank that was waited for
};

struct StageTime : TimeParts {
  int rank = 0;
};

struct Attribution {
  double seconds = 0;  // of the step: the last end of a span
  std::vector<RankTime> ranks;
  // By stage. What has no stage of its own (NORM, DONE) counts with the stage of the instruction before it, so the
  // stages of a rank add up to the rank.
  std::vector<StageTime> stages;
};

// FAILED_PRECONDITION when the trace is of another plan; INVALID_ARGUMENT for spans that the plan has no instruction
// for or times that are no numbers. Instructions without a span count as not having run.
absl::StatusOr<Attribution> Attribute(const proto::ExecutionPlan& plan, const proto::StepTrace& trace);

}  // namespace millrace

#endif  // RUNTIME_PLAN_ATTRIBUTE_H_
