#include "runtime/plan/wiring.h"

#include <algorithm>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/wiring_rules.h"

namespace millrace {
namespace {

using proto::Instruction;

// More than any real plan; keeps list positions in an int and the checker's own memory in bounds.
constexpr int64_t kMostInstructions = 50'000'000;
// Beyond all kinds of instructions: a key of its own for what is of a chunk and not of a bucket.
constexpr int kOfChunk = 1 << 10;

class Wirer {
 public:
  Wirer(const proto::ExecutionPlan& plan, const proto::Program& program) : plan_(plan), program_(program) {}

  absl::StatusOr<Wiring> Wire() {
    MR_RETURN_IF_ERROR(PlaceStages());
    MR_RETURN_IF_ERROR(CheckEdges());
    MR_RETURN_IF_ERROR(CheckGroups());
    int64_t instructions = 0;
    for (const proto::RankProgram& rank : program_.ranks()) instructions += rank.instructions_size();
    if (instructions > kMostInstructions) {
      return Broken("index", {&program_}, absl::StrCat(instructions, " instructions; at most ", kMostInstructions));
    }
    wiring_.ranks.resize(program_.ranks_size());
    for (int rank = 0; rank < program_.ranks_size(); ++rank) MR_RETURN_IF_ERROR(WireRank(rank));
    MR_RETURN_IF_ERROR(CheckMeetings());
    return std::move(wiring_);
  }

 private:
  absl::Status PlaceStages() {
    if (program_.ranks_size() != PipelineRanks(plan_)) {
      return Broken("index", {&program_},
                    absl::StrCat("has ", program_.ranks_size(), " rank programs; the plan has ", PipelineRanks(plan_),
                                 " ranks", plan_.dp() > 1 ? " in each pipeline" : ""));
    }
    wiring_.rank_of_stage.assign(program_.stages_size(), -1);
    for (int rank = 0; rank < program_.ranks_size(); ++rank) {
      if (program_.ranks(rank).rank() != rank) {
        return Broken("index", {&program_, rank}, absl::StrCat("is numbered ", program_.ranks(rank).rank()));
      }
      for (uint32_t stage : program_.ranks(rank).stages()) {
        if (stage >= program_.stages_size()) {
          return Broken("index", {&program_, rank}, absl::StrCat("stage ", stage, " of ", program_.stages_size()));
        }
        if (wiring_.rank_of_stage[stage] != -1) {
          return Broken("one-rank", {&program_, rank},
                        absl::StrCat("stage ", stage, " is placed here and on rank ", wiring_.rank_of_stage[stage]));
        }
        wiring_.rank_of_stage[stage] = rank;
        MR_RETURN_IF_ERROR(CheckStageReplica(plan_, program_, rank, static_cast<int>(stage)));
      }
    }
    for (int stage = 0; stage < program_.stages_size(); ++stage) {
      if (wiring_.rank_of_stage[stage] == -1) {
        return Broken("one-rank", {&program_}, absl::StrCat("stage ", stage, " is on no rank"));
      }
      MR_RETURN_IF_ERROR(ListPhases(stage));
    }
    return absl::OkStatus();
  }

  absl::Status ListPhases(int stage) {
    std::array<int, 6>& phases = wiring_.phases.emplace_back();
    phases.fill(-1);
    const proto::StageProgram& program = program_.stages(stage);
    if (program.stage() != stage) {
      return Broken("index", {&program_}, absl::StrCat("stage ", stage, " is numbered ", program.stage()));
    }
    for (int i = 0; i < program.phases_size(); ++i) {
      const int phase = program.phases(i).phase();
      if (phase < proto::F || phase > proto::R) {
        return Broken("index", {&program_}, absl::StrCat("stage ", stage, " has a phase of unknown kind ", phase));
      }
      if (phases[phase] != -1) {
        return Broken(
            "index", {&program_},
            absl::StrCat("stage ", stage, " has phase ", proto::Phase_Name(program.phases(i).phase()), " twice"));
      }
      phases[phase] = i;
    }
    return absl::OkStatus();
  }

  absl::Status CheckEdges() {
    for (int i = 0; i < program_.edges_size(); ++i) {
      const proto::Edge& edge = program_.edges(i);
      for (uint32_t stage : {edge.from_stage(), edge.to_stage()}) {
        if (stage >= program_.stages_size()) {
          return Broken(
              "index", {&program_},
              absl::StrCat("edge ", i, " ", Quoted(edge.name()), ": stage ", stage, " of ", program_.stages_size()));
        }
      }
      if (edge.from_stage() == edge.to_stage()) {
        return Broken(
            "index", {&program_},
            absl::StrCat("edge ", i, " ", Quoted(edge.name()), " goes from stage ", edge.to_stage(), " to itself"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckGroups() {
    const int ranks = PipelineRanks(plan_);
    std::vector<int> seen(ranks, -1);
    for (int b = 0; b < plan_.buckets_size(); ++b) {
      const proto::Bucket& bucket = plan_.buckets(b);
      for (uint32_t rank : bucket.group()) {
        if (rank >= static_cast<uint32_t>(ranks)) {
          return Broken("index", {}, absl::StrCat("bucket ", b, ": rank ", rank, " of ", ranks));
        }
        if (seen[rank] == b) return Broken("index", {}, absl::StrCat("bucket ", b, " names rank ", rank, " twice"));
        seen[rank] = b;
        members_.emplace(b, rank);
      }
      if (bucket.group_size() == 0 || bucket.group(0) != bucket.owner()) {
        return Broken("index", {},
                      absl::StrCat("bucket ", b, ": its group must begin with its owner, rank ", bucket.owner()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status WireRank(int rank) {
    const proto::RankProgram& list = program_.ranks(rank);
    Wiring::Rank& wired = wiring_.ranks[rank];
    absl::flat_hash_map<uint32_t, int> channels = {{0, 0}};
    for (int i = 0; i < list.instructions_size(); ++i) {
      const Instruction& instruction = list.instructions(i);
      wired.first_meeting.push_back(static_cast<int>(wired.meetings.size()));
      wired.channel.push_back(channels.emplace(instruction.channel(), static_cast<int>(channels.size())).first->second);
      MR_RETURN_IF_ERROR(CheckOrderFields(rank, i));
      MR_RETURN_IF_ERROR(WireInstruction(rank, i));
    }
    wired.first_meeting.push_back(static_cast<int>(wired.meetings.size()));
    wired.channels = static_cast<int>(channels.size());
    return absl::OkStatus();
  }

  absl::Status CheckOrderFields(int rank, int i) {
    const Instruction& instruction = program_.ranks(rank).instructions(i);
    for (uint32_t earlier : instruction.after()) {
      if (earlier >= static_cast<uint32_t>(i)) {
        return Broken("index", {&program_, rank, i},
                      absl::StrCat("after names instruction ", earlier, ", which is not earlier"));
      }
    }
    const bool communication = instruction.kind() == Instruction::SEND || instruction.kind() == Instruction::RECV ||
                               instruction.kind() == Instruction::GROUP || IsOfRun(instruction) || instruction.chunk();
    const bool either = instruction.kind() == Instruction::REDUCE && !IsOfRun(instruction);
    if (!either && communication != (instruction.channel() != 0)) {
      return Broken("index", {&program_, rank, i},
                    absl::StrCat("is on channel ", instruction.channel(),
                                 "; 0 is for compute, the others for SEND, RECV and GROUP, for REDUCE, and for the "
                                 "GATHER of a chunk"));
    }
    return CheckBegins(program_, wiring_, rank, i);
  }

  absl::Status WireInstruction(int rank, int i) {
    const Where here = {&program_, rank, i};
    const Instruction& instruction = program_.ranks(rank).instructions(i);
    switch (instruction.kind()) {
      case Instruction::RUN:
        MR_RETURN_IF_ERROR(CheckStage(here, instruction));
        if (instruction.phase() < proto::F || instruction.phase() > proto::R ||
            wiring_.phases[instruction.stage()][instruction.phase()] == -1) {
          return Broken("index", here, "the stage has no such phase");
        }
        return CheckMicroBatch(here, instruction);
      case Instruction::LOAD:
        MR_RETURN_IF_ERROR(CheckStage(here, instruction));
        return CheckMicroBatch(here, instruction);
      case Instruction::PREPARE:
      case Instruction::RELEASE:
        return CheckStage(here, instruction);
      case Instruction::SEND:
      case Instruction::RECV:
        return WireTransfer(here, instruction, -1);
      case Instruction::GROUP:
        return WireGroup(here, instruction);
      case Instruction::REDUCE:
      case Instruction::GATHER:
        return IsOfRun(instruction) || instruction.chunk() ? WireChunk(here, instruction)
                                                           : WireBucket(here, instruction);
      case Instruction::STEP:
        return WireBucket(here, instruction);
      case Instruction::NORM:
        Meet(std::make_tuple(int{Instruction::NORM}, uint64_t{0}, norms_[rank]++), {rank, i, -1});
        return absl::OkStatus();
      default:
        return Broken("known-op", here, "an instruction that this build cannot run");
    }
  }

  absl::Status CheckStage(const Where& here, const Instruction& instruction) {
    if (instruction.stage() >= program_.stages_size()) {
      return Broken("index", here, absl::StrCat("stage ", instruction.stage(), " of ", program_.stages_size()));
    }
    if (wiring_.rank_of_stage[instruction.stage()] != here.rank) {
      return Broken("one-rank", here,
                    absl::StrCat("stage ", instruction.stage(), " is placed on rank ",
                                 wiring_.rank_of_stage[instruction.stage()]));
    }
    return absl::OkStatus();
  }

  absl::Status CheckMicroBatch(const Where& here, const Instruction& instruction) {
    if (instruction.micro_batch() >= program_.micro_batches()) {
      return Broken("index", here,
                    absl::StrCat("micro-batch ", instruction.micro_batch(), " of ", program_.micro_batches()));
    }
    return instruction.kind() == Instruction::SEND || instruction.kind() == Instruction::RECV
               ? absl::OkStatus()
               : CheckTaken(here, instruction.stage(), instruction.micro_batch());
  }

  absl::Status CheckTaken(const Where& here, uint32_t stage, uint32_t micro_batch) {
    if (TakesMicroBatch(program_.stages(static_cast<int>(stage)), micro_batch)) return absl::OkStatus();
    return Broken("one-rank", here,
                  absl::StrCat("stage ", stage, " does not take micro-batch ", micro_batch, ": another replica does"));
  }

  absl::Status WireTransfer(const Where& here, const Instruction& instruction, int member) {
    if (instruction.edge() >= program_.edges_size()) {
      return Broken("index", here, absl::StrCat("edge ", instruction.edge(), " of ", program_.edges_size()));
    }
    MR_RETURN_IF_ERROR(CheckMicroBatch(here, instruction));
    const proto::Edge& edge = program_.edges(instruction.edge());
    for (uint32_t stage : {edge.from_stage(), edge.to_stage()}) {
      MR_RETURN_IF_ERROR(CheckTaken(here, stage, instruction.micro_batch()));
    }
    const int sender = wiring_.rank_of_stage[edge.from_stage()];
    const int receiver = wiring_.rank_of_stage[edge.to_stage()];
    const bool send = instruction.kind() == Instruction::SEND;
    if (sender == receiver) {
      return Broken("matching", here, "both stages are on this rank: the tensor is an alias and is not sent");
    }
    if (here.rank != (send ? sender : receiver)) {
      return Broken("matching", here, absl::StrCat("the edge goes from rank ", sender, " to rank ", receiver));
    }
    const int number = static_cast<int>(wiring_.meetings.size());
    const uint64_t key = uint64_t{instruction.edge()} * program_.micro_batches() + instruction.micro_batch();
    const auto [found, is_new] = meetings_.emplace(std::make_tuple(int{Instruction::SEND}, key, 0), number);
    if (is_new) wiring_.meetings.emplace_back().parties.assign(2, {-1, -1, -1});
    Party& party = wiring_.meetings[found->second].parties[send ? 0 : 1];
    if (party.rank != -1) {
      return Broken("matching", here, absl::StrCat("the same as instruction ", party.instruction));
    }
    party = {here.rank, here.instruction, member};
    wiring_.ranks[here.rank].meetings.push_back(found->second);
    return absl::OkStatus();
  }

  absl::Status WireGroup(const Where& here, const Instruction& instruction) {
    for (int m = 0; m < instruction.group_size(); ++m) {
      const Instruction& member = instruction.group(m);
      if (member.kind() != Instruction::SEND && member.kind() != Instruction::RECV) {
        return Broken("index", here, absl::StrCat("member ", m, " is neither SEND nor RECV"));
      }
      MR_RETURN_IF_ERROR(WireTransfer(here, member, m));
    }
    return absl::OkStatus();
  }

  absl::Status WireBucket(const Where& here, const Instruction& instruction) {
    if (instruction.bucket() >= plan_.buckets_size()) {
      return Broken("index", here, absl::StrCat("bucket ", instruction.bucket(), " of ", plan_.buckets_size()));
    }
    const proto::Bucket& bucket = plan_.buckets(instruction.bucket());
    const uint32_t place = static_cast<uint32_t>(PlaceOf(plan_, here.rank));
    if (!members_.contains({static_cast<int>(instruction.bucket()), place})) {
      return Broken("matching", here, "this rank is not in the bucket's group");
    }
    if (instruction.kind() == Instruction::STEP) {
      if (bucket.owner() == place) return absl::OkStatus();
      return Broken("matching", here, absl::StrCat("rank ", bucket.owner(), " owns the bucket and steps it"));
    }
    int& turn = turns_[std::make_tuple(int{instruction.kind()}, instruction.bucket(), here.rank)];
    Meet(std::make_tuple(int{instruction.kind()}, uint64_t{instruction.bucket()}, turn++),
         {here.rank, here.instruction, -1});
    return absl::OkStatus();
  }

  // What a rank does with its replicas alone.
  absl::Status WireChunk(const Where& here, const Instruction& instruction) {
    MR_RETURN_IF_ERROR(CheckStage(here, instruction));
    if (IsOfRun(instruction)) {
      MR_RETURN_IF_ERROR(CheckMicroBatch(here, instruction));
      if (instruction.phase() > proto::R || wiring_.phases[instruction.stage()][instruction.phase()] == -1) {
        return Broken("index", here, "the stage has no such phase");
      }
    }
    int& turn = chunk_turns_[{int{instruction.kind()}, here.rank}];
    const uint64_t place = static_cast<uint64_t>(PlaceOf(plan_, here.rank));
    Meet(std::make_tuple(kOfChunk + int{instruction.kind()}, place, turn++), {here.rank, here.instruction, -1});
    return absl::OkStatus();
  }

  // The `turn`-th time that a rank comes to a collective, it meets the others on their `turn`-th time.
  void Meet(const std::tuple<int, uint64_t, int>& key, const Party& party) {
    const auto [found, is_new] = meetings_.emplace(key, static_cast<int>(wiring_.meetings.size()));
    if (is_new) wiring_.meetings.emplace_back();
    wiring_.meetings[found->second].parties.push_back(party);
    wiring_.ranks[party.rank].meetings.push_back(found->second);
  }

  absl::Status CheckMeetings() {
    for (const Meeting& meeting : wiring_.meetings) {
      const Party& first = meeting.parties[0].rank >= 0 ? meeting.parties[0] : meeting.parties[1];
      const Where here = {&program_, first.rank, first.instruction};
      const Instruction& instruction = InstructionOf(program_, first);
      if (instruction.kind() == Instruction::SEND || instruction.kind() == Instruction::RECV) {
        MR_RETURN_IF_ERROR(CheckTransfer(here, meeting, instruction));
        continue;
      }
      int wanted = 0;
      if (instruction.kind() == Instruction::NORM) {
        wanted = program_.ranks_size();
      } else if (IsOfRun(instruction) || instruction.chunk()) {
        wanted = static_cast<int>(ListsAt(plan_, static_cast<uint32_t>(PlaceOf(plan_, first.rank))).size());
        MR_RETURN_IF_ERROR(CheckChunkMeeting(program_, here, meeting, instruction));
      } else {
        for (uint32_t place : plan_.buckets(instruction.bucket()).group()) {
          wanted += static_cast<int>(ListsAt(plan_, place).size());
        }
      }
      if (static_cast<int>(meeting.parties.size()) != wanted) {
        return Broken("matching", here,
                      absl::StrCat("of its ", wanted, " ranks only ", meeting.parties.size(), " take part"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckTransfer(const Where& here, const Meeting& meeting, const Instruction& instruction) {
    const proto::Edge& edge = program_.edges(instruction.edge());
    if (meeting.parties[1].rank == -1) {
      return Broken("matching", here,
                    absl::StrCat("rank ", wiring_.rank_of_stage[edge.to_stage()], " has no RECV of it for stage ",
                                 edge.to_stage()));
    }
    if (meeting.parties[0].rank == -1) {
      return Broken("matching", here,
                    absl::StrCat("rank ", wiring_.rank_of_stage[edge.from_stage()], " has no SEND of it from stage ",
                                 edge.from_stage()));
    }
    return absl::OkStatus();
  }

  const proto::ExecutionPlan& plan_;
  const proto::Program& program_;
  Wiring wiring_;
  // (kind, edge and micro-batch or bucket, turn) -> meeting
  absl::flat_hash_map<std::tuple<int, uint64_t, int>, int> meetings_;
  absl::flat_hash_set<std::pair<int, uint32_t>> members_;  // (bucket, rank of its group)
  absl::flat_hash_map<int, int> norms_;                    // rank -> how many NORMs so far
  absl::flat_hash_map<std::tuple<int, uint32_t, int>, int> turns_;
  absl::flat_hash_map<std::pair<int, int>, int> chunk_turns_;  // (kind, rank)
};

}  // namespace

const Instruction& InstructionOf(const proto::Program& program, const Party& party) {
  const Instruction& instruction = program.ranks(party.rank).instructions(party.instruction);
  return party.member < 0 ? instruction : instruction.group(party.member);
}

double Wiring::SecondsOf(const proto::Program& program, const Meeting& meeting) const {
  const Instruction& first = InstructionOf(program, meeting.parties[0]);
  if (first.kind() == Instruction::SEND && first.seconds() > 0) return first.seconds();
  double longest = 0;
  for (const Party& party : meeting.parties) longest = std::max(longest, InstructionOf(program, party).seconds());
  return longest;
}

absl::StatusOr<Wiring> Wire(const proto::ExecutionPlan& plan, const proto::Program& program) {
  return Wirer(plan, program).Wire();
}

}  // namespace millrace
