#include "runtime/plan/attribute.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/wiring.h"

namespace millrace {
namespace {

using proto::Instruction;

bool Collective(Instruction::Kind kind) {
  return kind == Instruction::REDUCE || kind == Instruction::NORM || kind == Instruction::GATHER;
}

Work WorkOf(const Instruction& instruction) {
  if (Collective(instruction.kind())) return Work::kCollective;
  if (instruction.kind() == Instruction::LOAD) return Work::kLoad;
  if (instruction.kind() != Instruction::RUN) return Work::kOptimizer;
  switch (instruction.phase()) {
    case proto::F:
      return Work::kForward;
    case proto::B:
      return Work::kBackward;
    case proto::W:
      return Work::kWeight;
    case proto::BW:
      return Work::kWholeBackward;
    default:
      return Work::kRecompute;
  }
}

bool Receives(const Instruction& instruction) {
  if (instruction.kind() == Instruction::RECV) return true;
  return std::any_of(instruction.group().begin(), instruction.group().end(),
                     [](const Instruction& member) { return member.kind() == Instruction::RECV; });
}

// The stage of every bucket as seen from every rank: of the lowest of the rank's stages that uses its first parameter.
std::map<std::pair<int, int>, int> StagesOfBuckets(const proto::ExecutionPlan& plan, const proto::Program& program) {
  std::map<std::pair<int, std::string>, int> stage_of;
  for (const proto::RankProgram& rank : program.ranks()) {
    for (uint32_t s : rank.stages()) {
      for (const proto::Value& value : program.stages(s).values()) {
        if (value.life() != proto::PARAMETER) continue;
        const auto [known, is_new] = stage_of.try_emplace({rank.rank(), value.name()}, s);
        known->second = std::min<int>(known->second, s);
      }
    }
  }
  std::map<std::pair<int, int>, int> stages;
  for (int b = 0; b < plan.buckets_size(); ++b) {
    if (plan.buckets(b).parameters().empty() || plan.buckets(b).parameters(0) >= plan.parameters_size()) continue;
    const std::string& name = plan.parameters(plan.buckets(b).parameters(0)).name();
    for (const proto::RankProgram& rank : program.ranks()) {
      const auto stage = stage_of.find({rank.rank(), name});
      if (stage != stage_of.end()) stages[{rank.rank(), b}] = stage->second;
    }
  }
  return stages;
}

class Attributor {
 public:
  Attributor(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring,
             const proto::StepTrace& trace, double seconds)
      : program_(program),
        wiring_(wiring),
        stage_of_bucket_(StagesOfBuckets(plan, program)),
        predicted_(trace.predicted()) {
    out_.seconds = seconds;
    out_.ranks.resize(program.ranks_size());
    out_.stages.resize(program.stages_size());
    for (size_t s = 0; s < out_.stages.size(); ++s) out_.stages[s].rank = wiring.rank_of_stage[s];
    for (int rank = 0; rank < program.ranks_size(); ++rank) {
      const int n = program.ranks(rank).instructions_size();
      spans_.emplace_back(n, nullptr);
      std::vector<int>& previous = previous_.emplace_back(n, -1);
      std::vector<int> last(wiring.ranks[rank].channels, -1);
      for (int i = 0; i < n; ++i) previous[i] = std::exchange(last[wiring.ranks[rank].channel[i]], i);
    }
    for (const proto::Span& span : trace.spans()) spans_[span.rank()][span.instruction()] = &span;
    for (int rank = 0; rank < program.ranks_size(); ++rank) {
      std::vector<double>& ready = ready_.emplace_back(previous_[rank].size(), 0);
      for (size_t i = 0; i < ready.size(); ++i) {
        const int before = previous_[rank][i];
        ready[i] = std::max(AfterDone(rank, static_cast<int>(i)), before < 0 ? 0 : ready[before]);
      }
    }
  }

  Attribution Run() {
    for (int rank = 0; rank < program_.ranks_size(); ++rank) CutUp(rank);
    for (int rank = 0; rank < program_.ranks_size(); ++rank) AddUp(rank);
    AddHidden();
    return std::move(out_);
  }

 private:
  double End(int rank, int i) const { return spans_[rank][i] == nullptr ? 0 : spans_[rank][i]->end_seconds(); }

  double AfterDone(int rank, int i) const {
    double done = 0;
    for (uint32_t earlier : program_.ranks(rank).instructions(i).after()) done = std::max(done, End(rank, earlier));
    return done;
  }
  double ChannelFree(int rank, int i) const { return previous_[rank][i] < 0 ? 0 : End(rank, previous_[rank][i]); }
  // When the rank stood at i with nothing of its own missing.
  double Posted(int rank, int i) const {
    return spans_[rank][i] == nullptr ? 0 : std::max(spans_[rank][i]->start_seconds(), AfterDone(rank, i));
  }

  void CutUp(int rank) {
    const auto& list = program_.ranks(rank).instructions();
    rank_ = rank;
    cursor_ = 0;
    stage_ = program_.ranks(rank).stages().empty() ? -1 : static_cast<int>(program_.ranks(rank).stages(0));
    int first = 0;
    while (first < list.size() && (list[first].kind() != Instruction::RUN || spans_[rank][first] == nullptr)) ++first;
    for (int i = 0; i < list.size(); ++i) {
      const proto::Span* span = spans_[rank][i];
      if (wiring_.ranks[rank].channel[i] != 0 || span == nullptr) continue;
      filling_ = i <= first && first < list.size();
      instruction_ = i;
      stage_ = StageOf(list[i]);
      const double begin = std::min(span->start_seconds() + span->wait_seconds(), span->end_seconds());
      Until(span->start_seconds(), Wait::kCore);
      WaitFor(i, begin);
      Until(begin, Wait::kCore);
      Until(span->end_seconds(), WorkOf(list[i]));
    }
    filling_ = false;
    instruction_ = -1;
    Until(out_.seconds, Wait::kDone);
  }

  int StageOf(const Instruction& instruction) const {
    switch (instruction.kind()) {
      case Instruction::RUN:
      case Instruction::LOAD:
      case Instruction::PREPARE:
        return static_cast<int>(instruction.stage());
      case Instruction::REDUCE:
      case Instruction::STEP:
      case Instruction::GATHER: {
        const auto stage = stage_of_bucket_.find({rank_, instruction.bucket()});
        return stage == stage_of_bucket_.end() ? stage_ : stage->second;
      }
      default:
        return stage_;
    }
  }

  // The cause of [cursor, begin], as the header defines it.
  void WaitFor(int i, double begin) {
    const Instruction& instruction = program_.ranks(rank_).instructions(i);
    int last = -1;
    for (uint32_t earlier : instruction.after()) {
      if (last < 0 || End(rank_, earlier) > End(rank_, last)) last = static_cast<int>(earlier);
    }
    limit_ = begin;
    if (last >= 0 && wiring_.ranks[rank_].channel[last] != 0) {
      if (Receives(program_.ranks(rank_).instructions(last))) {
        WaitForReceive(last);
      } else {
        Limited(End(rank_, last), Wait::kSlot, PeerOf(last).rank);
      }
    }
    if (!Collective(instruction.kind())) return;
    Party latest{-1, 0, -1};
    double arrived = 0;
    for (int m : wiring_.MeetingsOf(rank_, i)) {
      for (const Party& party : wiring_.meetings[m].parties) {
        if (party.rank == rank_) continue;
        const double posted = Posted(party.rank, party.instruction);
        if (latest.rank < 0 || posted > arrived) latest = party, arrived = posted;
      }
    }
    if (latest.rank >= 0) Limited(arrived, Wait::kPeer, latest.rank);
  }

  void WaitForReceive(int receive) {
    const Party sender = PeerOf(receive);
    if (sender.rank >= 0) {
      Limited(ready_[sender.rank][sender.instruction], Wait::kData, sender.rank);
      Limited(ChannelFree(sender.rank, sender.instruction), Wait::kLink, sender.rank);
      Limited(Posted(sender.rank, sender.instruction), Wait::kData, sender.rank);
    }
    Limited(ready_[rank_][receive], Wait::kSlot, -1);
    Limited(ChannelFree(rank_, receive), Wait::kLink, sender.rank);
    Limited(Posted(rank_, receive), Wait::kCore, -1);
    Limited(End(rank_, receive), Wait::kLink, sender.rank);
  }

  // Whom a transfer of this rank meets; of a GROUP the one that comes last.
  Party PeerOf(int transfer) const {
    Party peer{-1, 0, -1};
    for (int m : wiring_.MeetingsOf(rank_, transfer)) {
      for (const Party& party : wiring_.meetings[m].parties) {
        if (party.rank == rank_) continue;
        if (peer.rank < 0 || Posted(party.rank, party.instruction) > Posted(peer.rank, peer.instruction)) peer = party;
      }
    }
    return peer;
  }

  void Limited(double end, Wait wait, int peer) { Until(std::min(end, limit_), wait, peer); }

  void Until(double end, Wait wait, int peer = -1) {
    Segment* segment = Extend(end);
    if (segment == nullptr) return;
    segment->wait = filling_ ? Wait::kFill : wait;
    segment->peer = peer;
  }
  void Until(double end, Work work) {
    Segment* segment = Extend(end);
    if (segment == nullptr) return;
    segment->works = true;
    segment->work = work;
  }
  // Nothing, where that moment is past already: a segment has a length.
  Segment* Extend(double end) {
    if (end <= cursor_) return nullptr;
    Segment& segment = out_.ranks[rank_].segments.emplace_back();
    segment.begin = std::exchange(cursor_, end);
    segment.end = end;
    segment.instruction = instruction_;
    segment.stage = stage_;
    return &segment;
  }

  void AddUp(int rank) {
    RankTime& mine = out_.ranks[rank];
    for (const Segment& segment : mine.segments) {
      const double seconds = segment.end - segment.begin;
      std::vector<TimeParts*> sums = {&mine};
      if (segment.stage >= 0 && segment.stage < static_cast<int>(out_.stages.size())) {
        sums.push_back(&out_.stages[segment.stage]);
      }
      for (TimeParts* parts : sums) {
        (segment.works ? parts->work[static_cast<int>(segment.work)] : parts->wait[static_cast<int>(segment.wait)]) +=
            seconds;
        const bool bare = segment.works ? segment.work == Work::kCollective : segment.wait == Wait::kLink;
        if (bare) parts->exposed += seconds;
      }
      if (!segment.works && segment.wait == Wait::kData && segment.peer >= 0) mine.data_from[segment.peer] += seconds;
    }
  }

  void AddHidden() {
    for (const Meeting& meeting : wiring_.meetings) {
      if (meeting.parties.size() != 2) continue;
      const Party &a = meeting.parties[0], &b = meeting.parties[1];
      const Instruction& transfer = InstructionOf(program_, a);
      if (transfer.kind() != Instruction::SEND) continue;
      if (spans_[a.rank][a.instruction] == nullptr || spans_[b.rank][b.instruction] == nullptr) continue;
      // A measured end is when a host saw it: the earlier of the two is nearer to the truth, but may still be late.
      const double begin = std::max(Posted(a.rank, a.instruction), Posted(b.rank, b.instruction));
      double end = std::min(End(a.rank, a.instruction), End(b.rank, b.instruction));
      if (!predicted_) end = std::min(end, begin + wiring_.SecondsOf(program_, meeting));
      const proto::Edge& edge = program_.edges(static_cast<int>(transfer.edge()));
      AddHidden(a.rank, static_cast<int>(edge.from_stage()), begin, end);
      AddHidden(b.rank, static_cast<int>(edge.to_stage()), begin, end);
    }
  }
  void AddHidden(int rank, int stage, double begin, double end) {
    const std::vector<Segment>& segments = out_.ranks[rank].segments;
    auto at = std::partition_point(segments.begin(), segments.end(), [&](const Segment& s) { return s.end <= begin; });
    double seconds = 0;
    for (; at != segments.end() && at->begin < end; ++at) {
      if (at->works && at->work != Work::kCollective) seconds += std::min(end, at->end) - std::max(begin, at->begin);
    }
    out_.ranks[rank].hidden += seconds;
    out_.stages[stage].hidden += seconds;
  }

  const proto::Program& program_;
  const Wiring& wiring_;
  const std::map<std::pair<int, int>, int> stage_of_bucket_;  // (rank, bucket)
  const bool predicted_;
  std::vector<std::vector<const proto::Span*>> spans_;  // [rank][instruction]; nullptr: not in the trace
  std::vector<std::vector<int>> previous_;              // on its channel; -1: none
  // [rank][instruction]: when everything in `after` of it and of those before it on its channel had ended. Lowering
  // leaves out of `after` what follows from the channel's order.
  std::vector<std::vector<double>> ready_;
  Attribution out_;
  // Of the rank that is being cut up.
  int rank_ = 0, instruction_ = -1, stage_ = -1;
  double cursor_ = 0, limit_ = 0;
  bool filling_ = false;
};

}  // namespace

absl::string_view WorkName(Work work) {
  constexpr absl::string_view kNames[kWorks] = {"forward",   "backward input", "weight",     "backward",
                                                "recompute", "load",           "collective", "optimizer"};
  return kNames[static_cast<int>(work)];
}

absl::string_view WaitName(Wait wait) {
  constexpr absl::string_view kNames[kWaits] = {"fill", "data", "link", "slot", "peer", "core", "done"};
  return kNames[static_cast<int>(wait)];
}

double TimeParts::Kernels() const {
  return Of(Work::kForward) + Of(Work::kBackward) + Of(Work::kWeight) + Of(Work::kWholeBackward) + Of(Work::kRecompute);
}
double TimeParts::AllWork() const { return std::accumulate(work.begin(), work.end(), 0.0); }
double TimeParts::AllWaiting() const { return std::accumulate(wait.begin(), wait.end(), 0.0); }

absl::StatusOr<Attribution> Attribute(const proto::ExecutionPlan& plan, const proto::StepTrace& trace) {
  // Checks the spans, too.
  MR_ASSIGN_OR_RETURN(const Simulation figures, Summarize(plan, trace));
  const proto::Program& program = *FindProgram(plan, trace.program());
  MR_ASSIGN_OR_RETURN(const Wiring wiring, Wire(plan, program));
  return Attributor(plan, program, wiring, trace, figures.seconds).Run();
}

}  // namespace millrace
