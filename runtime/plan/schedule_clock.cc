#include "runtime/plan/schedule_clock.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/plan/schedule_deadlock.h"
#include "runtime/plan/schedule_slots.h"
#include "runtime/plan/schedule_walk.h"
#include "runtime/plan/schedule_wires.h"

namespace millrace {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

bool IsBackward(proto::Phase phase) { return phase == proto::B || phase == proto::BW; }

class Clock {
 public:
  Clock(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources)
      : schedule_(schedule),
        costs_(costs),
        resources_(resources),
        wires_(WiresOf(schedule, resources)),
        slots_(schedule, resources),
        wire_free_(wires_.count, 0),
        wire_last_(wires_.count, -1),
        running_(schedule.ranks.size(), false),
        next_(schedule.ranks.size(), 0) {
    const size_t pairs = static_cast<size_t>(schedule.stages) * schedule.micro_batches;
    for (int direction : {0, 1}) {
      arrival_[direction].assign(pairs, kUnknown);
      carrier_[direction].assign(pairs, -1);
    }
    out_.ranks.resize(schedule.ranks.size());
    out_.causes.resize(schedule.ranks.size());
    out_.idle.resize(schedule.ranks.size());
    for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      out_.ranks[rank].reserve(schedule.ranks[rank].size());
      out_.causes[rank].reserve(schedule.ranks[rank].size());
    }
  }

  absl::StatusOr<ScheduleTimeline> Run() && {
    for (int rank = 0; rank < static_cast<int>(next_.size()); ++rank) TryStart(rank, 0);
    while (!events_.empty()) {
      const auto [time, rank, wake] = events_.top();
      events_.pop();
      if (!wake) End(rank, time);
      TryStart(rank, time);
    }
    for (size_t rank = 0; rank < next_.size(); ++rank) {
      if (next_[rank] == schedule_.ranks[rank].size()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("schedule: rule deadlock: ",
                       DescribeDeadlock(schedule_, next_, [this](int stuck) { return WaitOf(stuck); })));
    }
    return std::move(out_);
  }

 private:
  // Time, rank, and whether the rank may only look again (else its action ends).
  using Event = std::tuple<double, int, bool>;

  size_t At(int stage, int micro_batch) const {
    return static_cast<size_t>(stage) * schedule_.micro_batches + micro_batch;
  }
  const Action& Head(int rank) const { return schedule_.ranks[rank][next_[rank]]; }
  // The stage that reads what the action makes, if it is on another rank; else -1.
  int RemoteReader(const Action& action) const {
    if (action.phase != proto::F && !IsBackward(action.phase)) return -1;
    const int reader = action.stage + (action.phase == proto::F ? 1 : -1);
    if (reader < 0 || reader >= schedule_.stages) return -1;
    return schedule_.rank_of_stage[reader] == schedule_.rank_of_stage[action.stage] ? -1 : reader;
  }

  // Starts the action that the rank stands at if nothing is missing; what is known to come later wakes it then.
  void TryStart(int rank, double now) {
    if (running_[rank] || next_[rank] == schedule_.ranks[rank].size()) return;
    const Action& action = Head(rank);
    const int direction = IsBackward(action.phase);
    const bool reads = NeighbourInput(schedule_, action).has_value();
    const double arrival = reads ? arrival_[direction][At(action.stage, action.micro_batch)] : 0;
    if (arrival > now) {
      if (arrival < kUnknown) events_.push({arrival, rank, true});
      return;
    }
    if (slots_.TakesStash(action) && !slots_.StashIsFree(action.stage)) return;
    ScheduleCause slot;
    if (slots_.SendIsLimited() && RemoteReader(action) >= 0) {
      const int before = slots_.Begun(direction, action.stage) - slots_.SendLimit(action.stage);
      const std::vector<int>& sent = slots_.Sent(direction, action.stage);
      if (before >= static_cast<int>(sent.size())) return;
      if (before >= 0) {
        const double left = out_.transfers[sent[before]].left;
        if (left > now) return events_.push({left, rank, true});
        slot = {ScheduleCause::kLeaving, sent[before], 0};
      }
    }
    Start(rank, now, reads ? carrier_[direction][At(action.stage, action.micro_batch)] : -1, slot);
  }

  void Start(int rank, double now, int carrier, ScheduleCause slot) {
    const Action& action = Head(rank);
    std::vector<TimedAction>& mine = out_.ranks[rank];
    const double free = mine.empty() ? 0 : mine.back().end;
    ScheduleCause cause;
    if (now == free) {
      if (!mine.empty()) cause = {ScheduleCause::kAction, rank, static_cast<int>(mine.size()) - 1};
    } else if (carrier >= 0 && out_.transfers[carrier].arrived == now) {
      cause = {ScheduleCause::kArrival, carrier, 0};
    } else {
      cause = slot;
    }
    if (mine.empty()) {
      out_.idle[rank].before_first = now;
    } else {
      Account(free, now, carrier, &out_.idle[rank]);
    }
    mine.push_back({action, now, now + DurationOf(action, costs_)});
    out_.causes[rank].push_back(cause);
    if (slots_.TakesStash(action)) slots_.TakeStash(action.stage);
    if (slots_.SendIsLimited() && RemoteReader(action) >= 0) {
      ++slots_.Begun(IsBackward(action.phase), action.stage);
    }
    running_[rank] = true;
    events_.push({mine.back().end, rank, false});
  }

  // Divides a rank's wait by what was missing when.
  void Account(double from, double to, int carrier, ScheduleIdle* idle) const {
    const auto until = [&](double time, double* cause) {
      time = std::min(time, to);
      if (time <= from) return;
      *cause += time - from;
      from = time;
    };
    if (carrier >= 0) {
      const TimedTransfer& transfer = out_.transfers[carrier];
      until(transfer.made, &idle->data);
      until(transfer.admitted, &idle->slot);
      until(transfer.arrived, &idle->link);
    }
    until(to, &idle->slot);
  }

  void End(int rank, double now) {
    const int position = static_cast<int>(next_[rank]++);
    const Action& action = schedule_.ranks[rank][position];
    running_[rank] = false;
    if (action.phase == proto::W || action.phase == proto::BW) slots_.FreeStash(action.stage);
    if (action.phase != proto::F && !IsBackward(action.phase)) return;
    const int direction = IsBackward(action.phase);
    if (carrier_[direction][At(action.stage, action.micro_batch)] >= 0) {
      slots_.FreeReceive(direction, action.stage);
      if (slots_.AnyWaiting(direction, action.stage) && slots_.TakeReceive(direction, action.stage)) {
        std::deque<WaitingTensor>& waiting = slots_.Waiting(direction, action.stage);
        const WaitingTensor tensor = waiting.front();
        waiting.pop_front();
        Admit(tensor.maker, tensor.made, now, {ScheduleCause::kAction, rank, position});
      }
    }
    const int remote = RemoteReader(action);
    const int reader = action.stage + (direction == 0 ? 1 : -1);
    if (remote < 0) {
      if (reader >= 0 && reader < schedule_.stages) arrival_[direction][At(reader, action.micro_batch)] = now;
    } else if (slots_.TakeReceive(direction, remote)) {
      Admit(action, now, now, {ScheduleCause::kAction, rank, position});
    } else {
      slots_.Waiting(direction, remote).push_back({action, now});
    }
  }

  // The tensor has a slot: it queues for its wires. Times of calls never fall, so the queue needs no list.
  void Admit(const Action& maker, double made, double now, ScheduleCause cause) {
    const int direction = IsBackward(maker.phase);
    const int reader = maker.stage + (direction == 0 ? 1 : -1), edge = std::min(maker.stage, reader);
    TimedTransfer transfer{maker, schedule_.rank_of_stage[maker.stage], schedule_.rank_of_stage[reader], made, now,
                           now};
    const std::array<int, 2>& wires = (direction == 0 ? wires_.forward : wires_.backward)[maker.stage];
    for (int wire : wires) {
      if (wire < 0 || wire_free_[wire] <= transfer.begun) continue;
      transfer.begun = wire_free_[wire];
      cause = {ScheduleCause::kLeaving, wire_last_[wire], 0};
    }
    const double bytes = resources_.transfer_bytes.empty() ? 0 : resources_.transfer_bytes[edge];
    const double busy = resources_.bandwidth.empty() ? 0 : bytes / resources_.bandwidth[edge];
    transfer.left = transfer.begun + busy;
    transfer.arrived = transfer.left + costs_.communication[edge];
    const int index = static_cast<int>(out_.transfers.size());
    for (int wire : wires) {
      if (wire < 0) continue;
      wire_free_[wire] = transfer.left;
      wire_last_[wire] = index;
    }
    arrival_[direction][At(reader, maker.micro_batch)] = transfer.arrived;
    carrier_[direction][At(reader, maker.micro_batch)] = index;
    out_.transfers.push_back(transfer);
    out_.transfer_causes.push_back(cause);
    if (slots_.SendIsLimited()) {
      slots_.Sent(direction, maker.stage).push_back(index);
      Wake(transfer.from, now);
    }
    Wake(transfer.to, now);
  }

  // Not at once: what ends now comes first.
  void Wake(int rank, double now) {
    if (!running_[rank]) events_.push({now, rank, true});
  }

  // Of a rank that nothing will wake.
  ScheduleWait WaitOf(int rank) {
    const Action& action = Head(rank);
    const int direction = IsBackward(action.phase);
    const auto input = NeighbourInput(schedule_, action);
    if (input.has_value() && arrival_[direction][At(action.stage, action.micro_batch)] == kUnknown) {
      const bool made =
          slots_.AnyWaiting(direction, action.stage) &&
          std::any_of(slots_.Waiting(direction, action.stage).begin(), slots_.Waiting(direction, action.stage).end(),
                      [&](const WaitingTensor& t) { return t.maker.micro_batch == action.micro_batch; });
      if (!made) return {*input, ""};
      return {Holder(direction, action.stage),
              absl::StrCat(" to free one of the ", resources_.receive_slots[action.stage], " receive slots of stage ",
                           action.stage)};
    }
    if (slots_.TakesStash(action) && !slots_.StashIsFree(action.stage)) {
      return {StashHolder(rank), absl::StrCat(" to free one of the ", resources_.stash_slots[action.stage],
                                              " stash slots of stage ", action.stage)};
    }
    const int reader = RemoteReader(action);
    return {Holder(direction, reader),
            absl::StrCat(" to free one of the ", resources_.receive_slots[reader], " receive slots of stage ", reader,
                         " for what the ", resources_.send_slots[action.stage], " send slots of stage ", action.stage,
                         " hold")};
  }

  // The next action of the stage that reads a tensor that is there.
  Action Holder(int direction, int stage) const {
    const int rank = schedule_.rank_of_stage[stage];
    for (size_t i = next_[rank]; i < schedule_.ranks[rank].size(); ++i) {
      const Action& a = schedule_.ranks[rank][i];
      const bool reads = direction == 0 ? a.phase == proto::F : IsBackward(a.phase);
      if (a.stage == stage && reads && arrival_[direction][At(stage, a.micro_batch)] < kUnknown) return a;
    }
    return Head(rank);
  }

  // The next W or BW of the head's stage whose stash is there.
  Action StashHolder(int rank) const {
    const std::vector<Action>& list = schedule_.ranks[rank];
    const int stage = Head(rank).stage;
    for (size_t i = next_[rank]; i < list.size(); ++i) {
      if (list[i].stage != stage || (list[i].phase != proto::W && list[i].phase != proto::BW)) continue;
      const auto takes = [&](const Action& a) {
        return a.stage == stage && a.micro_batch == list[i].micro_batch && slots_.TakesStash(a);
      };
      if (std::any_of(list.begin(), list.begin() + next_[rank], takes)) return list[i];
    }
    return Head(rank);
  }

  const Schedule& schedule_;
  const ScheduleCosts& costs_;
  const ScheduleResources& resources_;
  const ScheduleWires wires_;
  ScheduleSlots slots_;
  std::vector<double> wire_free_;  // by wire: when what goes over it will have left
  std::vector<int> wire_last_;     // by wire: that transfer
  std::vector<char> running_;      // by rank
  std::vector<size_t> next_;       // by rank
  // By direction, reading stage and micro-batch: when the tensor is there, and the transfer (-1: made on this rank).
  std::vector<double> arrival_[2];
  std::vector<int> carrier_[2];
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  ScheduleTimeline out_;
};

}  // namespace

double DurationOf(const Action& action, const ScheduleCosts& costs) {
  switch (action.phase) {
    case proto::F:
      return costs.forward[action.stage];
    case proto::B:
      return costs.backward_input[action.stage];
    case proto::W:
      return costs.backward_weight[action.stage];
    case proto::BW:
      return costs.backward_input[action.stage] + costs.backward_weight[action.stage];
    default:
      return costs.recompute.empty() ? costs.forward[action.stage] : costs.recompute[action.stage];
  }
}

absl::StatusOr<ScheduleTimeline> RunClock(const Schedule& schedule, const ScheduleCosts& costs,
                                          const ScheduleResources& resources) {
  return Clock(schedule, costs, resources).Run();
}

}  // namespace millrace
