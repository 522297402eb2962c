// Who meets whom: a program's instructions with their relative names (stage, edge, bucket) turned into ranks and list
// positions. The common ground of verifier, simulator and pictures.
#ifndef RUNTIME_PLAN_WIRING_H_
#define RUNTIME_PLAN_WIRING_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/plan.pb.h"

namespace millrace {

// One side of a meeting: an instruction, and for a member of a GROUP which one.
struct Party {
  int rank = 0;
  int instruction = 0;
  int member = -1;
};

// Something that completes only when every party stands at it: a tensor of one micro-batch (sender, then receiver) or
// one collective (the group's ranks).
struct Meeting {
  std::vector<Party> parties;
};

struct Wiring {
  std::vector<int> rank_of_stage;
  // phases[stage][phase]: index into the stage's phases, -1: the stage has no such phase.
  std::vector<std::array<int, 6>> phases;
  std::vector<Meeting> meetings;
  struct Rank {
    // Meetings of instruction i: meetings[first_meeting[i]] up to meetings[first_meeting[i + 1]].
    std::vector<int> first_meeting;
    std::vector<int> meetings;
    int channels = 1;          // one more than the highest channel number, after renumbering without gaps
    std::vector<int> channel;  // of each instruction, renumbered; compute stays 0
  };
  std::vector<Rank> ranks;

  absl::Span<const int> MeetingsOf(int rank, int instruction) const {
    const Rank& r = ranks[rank];
    return absl::MakeConstSpan(r.meetings)
        .subspan(r.first_meeting[instruction], r.first_meeting[instruction + 1] - r.first_meeting[instruction]);
  }
  // The duration the plan gives a meeting: the SEND's own, or the RECV's where that has none; the longest of a
  // collective's parties.
  double SecondsOf(const proto::Program& program, const Meeting& meeting) const;
};

// Checks what it follows, so any bytes may be given: rules `index`, `known-op` (kinds of instruction), `one-rank` and
// `matching`. Memory is not looked at: pools, slots and values may still be missing.
absl::StatusOr<Wiring> Wire(const proto::ExecutionPlan& plan, const proto::Program& program);

// Is the micro-batch one of this stage's, or does another replica of the stage take it?
bool TakesMicroBatch(const proto::StageProgram& stage, uint32_t micro_batch);

// The instruction a party stands for: the member, where it is one of a GROUP.
const proto::Instruction& InstructionOf(const proto::Program& program, const Party& party);

}  // namespace millrace

#endif  // RUNTIME_PLAN_WIRING_H_
