#include "partitioner/lower/comm_order.h"

#include <algorithm>
#include <map>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

using proto::Instruction;

constexpr int kAhead = 2;       // micro-batches that a stage may be ahead of its readers, without backward passes
constexpr int kStuckShown = 8;  // ranks in the message of a deadlock

struct Event {
  double time = 0;
  int64_t number = 0;  // causes come before effects at the same time
  enum Kind { kTry, kRunEnd, kArrival } kind = kTry;
  int rank = 0;
  int index = 0;  // run or transfer
  int micro_batch = 0;
};
struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return std::pair(a.time, a.number) > std::pair(b.time, b.number);
  }
};

class Player {
 public:
  Player(const Flow& flow, const TransferSecondsFn& transfer_seconds, RunMeetings meetings)
      : flow_(flow),
        schedule_(flow.source->schedule),
        transfer_seconds_(transfer_seconds),
        meetings_(meetings),
        lists_(schedule_.ranks.size()),
        reduces_(schedule_.ranks.size()),
        next_(schedule_.ranks.size(), 0),
        busy_(schedule_.ranks.size(), false),
        there_(flow.residents.size(), std::vector<bool>(schedule_.micro_batches, false)),
        loaded_(schedule_.stages, std::vector<bool>(schedule_.micro_batches, false)),
        begun_(flow.runs.size(), 0),
        feeders_(flow.runs.size()),
        meets_(flow.runs.size(), false) {
    if (meetings != RunMeetings::kNone) FindMeetings();
    for (const PhaseRun& run : flow.runs) {
      for (int t : run.transfers) {
        for (int reader : flow.residents[flow.transfers[t].to].readers)
          feeders_[reader].push_back(flow.RankOf(run.stage));
      }
    }
  }

  absl::StatusOr<CommLists> Play() {
    for (int rank = 0; rank < static_cast<int>(lists_.size()); ++rank) Push({0, 0, Event::kTry, rank});
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      if (event.kind == Event::kTry) Try(event.rank);
      if (event.kind == Event::kRunEnd) EndRun(event);
      if (event.kind == Event::kArrival) {
        there_[flow_.transfers[event.index].to][event.micro_batch] = true;
        Try(event.rank);
      }
    }
    for (int rank = 0; rank < static_cast<int>(lists_.size()); ++rank) {
      if (next_[rank] < schedule_.ranks[rank].size()) return Deadlock();
    }
    return CommLists{std::move(lists_), std::move(reduces_)};
  }

 private:
  void Push(Event event) {
    event.number = numbers_++;
    events_.push(event);
  }

  // RUNs of stages with replicas of their own that write gradients.
  void FindMeetings() {
    const Graph& graph = flow_.source->staged.graph;
    std::vector<bool> adds(graph.nodes.size(), false);
    for (const GraphParameter& parameter : graph.parameters) {
      for (int accumulator : parameter.accumulators) adds[graph.values[accumulator].producer] = true;
    }
    for (size_t r = 0; r < flow_.runs.size(); ++r) {
      const PhaseRun& run = flow_.runs[r];
      meets_[r] = schedule_.ReplicasOf(run.stage) > 1 &&
                  std::any_of(run.nodes.begin(), run.nodes.end(), [&adds](int node) { return adds[node]; });
    }
  }

  // The replicas of a stage, in one phase.
  std::vector<int>& Ended(const PhaseRun& run) {  // by round: how many have ended it
    std::vector<int>& ended = ended_[{flow_.NamedAs(run.stage), run.phase}];
    ended.resize(schedule_.micro_batches / schedule_.ReplicasOf(run.stage) + 1, 0);
    return ended;
  }
  bool MustMeet(const PhaseRun& run, int micro_batch) {
    const int replicas = schedule_.ReplicasOf(run.stage), round = micro_batch / replicas;
    return meetings_ == RunMeetings::kAll && round > 0 && Ended(run)[round - 1] < replicas;
  }
  void Meet(const PhaseRun& run, int micro_batch) {
    const int replicas = schedule_.ReplicasOf(run.stage), round = micro_batch / replicas;
    if (++Ended(run)[round] < replicas) return;
    if (meetings_ == RunMeetings::kLast && (round + 1) * replicas < schedule_.micro_batches) return;
    for (int replica = 0; replica < replicas; ++replica) {
      const int stage = flow_.NamedAs(run.stage) + replica, rank = flow_.RankOf(stage);
      const int before = static_cast<int>(lists_[rank].size());
      reduces_[rank].push_back({stage, run.phase, round * replicas + replica, before});
      Push({now_, 0, Event::kTry, rank});
    }
  }

  int RunOf(const Action& action) const { return flow_.run_of[action.stage][action.phase]; }

  // A resident that the action must wait for, -1: none. What its own stage makes, an earlier action made.
  int Missing(const Action& action) const {
    for (int r : flow_.runs[RunOf(action)].reads) {
      const Resident& resident = flow_.residents[r];
      const bool from_elsewhere =
          resident.life != proto::LOADED && (resident.life == proto::RECEIVED || resident.stage != action.stage);
      if (from_elsewhere && !there_[r][action.micro_batch]) return r;
    }
    return -1;
  }

  bool TooFarAhead(const Action& action) const {
    if (flow_.source->trains) return false;
    for (int t : flow_.runs[RunOf(action)].transfers) {
      const int to = flow_.transfers[t].to_stage;
      if (!schedule_.Takes(to, action.micro_batch)) continue;
      for (int reader : flow_.residents[flow_.transfers[t].to].readers) {
        if (begun_[reader] < action.micro_batch / schedule_.ReplicasOf(to) + 1 - kAhead) return true;
      }
    }
    return false;
  }

  void Try(int rank) {
    if (busy_[rank] || next_[rank] == schedule_.ranks[rank].size()) return;
    const Action& action = schedule_.ranks[rank][next_[rank]];
    if (Missing(action) >= 0 || TooFarAhead(action)) return;
    const int r = RunOf(action);
    const PhaseRun& run = flow_.runs[r];
    if (meets_[r] && MustMeet(run, action.micro_batch)) return;
    ++next_[rank];
    busy_[rank] = true;
    const bool loads = std::any_of(run.reads.begin(), run.reads.end(),
                                   [this](int x) { return flow_.residents[x].life == proto::LOADED; });
    if (loads && !loaded_[run.stage][action.micro_batch]) {
      loaded_[run.stage][action.micro_batch] = true;
      lists_[rank].push_back({Instruction::LOAD, run.stage, action.micro_batch});
    }
    lists_[rank].push_back({Instruction::RUN, r, action.micro_batch});
    ++begun_[r];
    Push({now_ + run.seconds, 0, Event::kRunEnd, rank, r, action.micro_batch});
    if (flow_.source->trains) return;
    for (int feeder : feeders_[r]) Push({now_, 0, Event::kTry, feeder});
  }

  void EndRun(const Event& event) {
    const PhaseRun& run = flow_.runs[event.index];
    busy_[event.rank] = false;
    for (int r : run.writes) there_[r][event.micro_batch] = true;
    for (int t : run.transfers) {
      const Transfer& transfer = flow_.transfers[t];
      if (!schedule_.Takes(transfer.to_stage, event.micro_batch)) continue;  // another replica has it
      const int to = flow_.residents[transfer.to].rank;
      lists_[event.rank].push_back({Instruction::SEND, t, event.micro_batch});
      lists_[to].push_back({Instruction::RECV, t, event.micro_batch});
      double& free = channel_free_[{event.rank, to}];
      free = std::max(free, now_) + transfer_seconds_(transfer);
      Push({free, 0, Event::kArrival, to, t, event.micro_batch});
    }
    if (meets_[event.index]) Meet(run, event.micro_batch);
    Try(event.rank);
  }

  absl::Status Deadlock() const {
    std::string text = "schedule: deadlock: ";
    int shown = 0;
    for (int rank = 0; rank < static_cast<int>(lists_.size()); ++rank) {
      if (next_[rank] == schedule_.ranks[rank].size() || ++shown > kStuckShown) continue;
      const Action& action = schedule_.ranks[rank][next_[rank]];
      const int missing = Missing(action);
      absl::StrAppend(&text, shown > 1 ? "; " : "", "rank ", rank, " waits at ", action.ToString());
      if (missing >= 0) {
        const Resident& resident = flow_.residents[missing];
        const GraphValue& value = flow_.source->staged.graph.values[resident.value];
        absl::StrAppend(&text, " for ", value.name, " of stage ", flow_.source->staged.stage_of_node[value.producer]);
      }
    }
    return absl::InvalidArgumentError(absl::StrCat(text, "; put the actions that make these earlier"));
  }

  const Flow& flow_;
  const Schedule& schedule_;
  const TransferSecondsFn& transfer_seconds_;
  const RunMeetings meetings_;
  std::vector<std::vector<Step>> lists_;
  std::vector<std::vector<RunReduce>> reduces_;
  std::vector<size_t> next_;
  std::vector<bool> busy_;
  std::vector<std::vector<bool>> there_;                   // [resident][micro-batch]
  std::vector<std::vector<bool>> loaded_;                  // [stage][micro-batch]
  std::vector<int> begun_;                                 // by run: micro-batches
  std::vector<std::vector<int>> feeders_;                  // by run: ranks that send to it
  std::vector<bool> meets_;                                // by run: its stage's replicas reduce what it writes
  std::map<std::pair<int, int>, std::vector<int>> ended_;  // by (first replica, phase)
  std::map<std::pair<int, int>, double> channel_free_;
  std::priority_queue<Event, std::vector<Event>, Later> events_;
  int64_t numbers_ = 0;
  double now_ = 0;
};

}  // namespace

absl::StatusOr<CommLists> CommOrder(const Flow& flow, const TransferSecondsFn& transfer_seconds, RunMeetings meetings) {
  return Player(flow, transfer_seconds, meetings).Play();
}

}  // namespace millrace
