#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/schedule.h"
#include "runtime/plan/schedule_clock.h"
#include "runtime/plan/schedule_costs.h"

namespace millrace {
namespace {

// What a timeline amounts to.
class Figures {
 public:
  Figures(const Schedule& schedule, const ScheduleCosts& costs, ScheduleTimeline timeline)
      : schedule_(schedule),
        costs_(costs),
        causes_(std::move(timeline.causes)),
        transfer_causes_(std::move(timeline.transfer_causes)) {
    out_.ranks = std::move(timeline.ranks);
    out_.transfers = std::move(timeline.transfers);
    out_.idle = std::move(timeline.idle);
  }

  ScheduleSimulation Run() && {
    Spans();
    for (size_t rank = 0; rank < out_.ranks.size(); ++rank) Memory(rank);
    InFlight();
    CriticalPath();
    return std::move(out_);
  }

 private:
  void Spans() {
    double total = 0, busiest = 0;
    for (const std::vector<TimedAction>& list : out_.ranks) {
      double busy = 0;
      for (const TimedAction& timed : list) busy += DurationOf(timed.action, costs_);
      const double span = list.empty() ? 0 : list.back().end - list.front().start;
      out_.busy.push_back(busy);
      out_.longest_span = std::max(out_.longest_span, span);
      if (!list.empty()) out_.makespan = std::max(out_.makespan, list.back().end);
      total += busy;
      busiest = std::max(busiest, busy);
    }
    for (size_t rank = 0; rank < out_.ranks.size(); ++rank) {
      out_.idle[rank].after_last = out_.makespan - (out_.ranks[rank].empty() ? 0 : out_.ranks[rank].back().end);
    }
    if (out_.longest_span > 0) out_.bubble_rate = 1 - total / out_.ranks.size() / out_.longest_span;
    if (busiest > 0) out_.bubble_over_ideal = (out_.longest_span - busiest) / busiest;
  }

  // What a rank holds of the stage's stash: taken at the start of F (or R), given back at the ends of B and W.
  void Memory(size_t rank) {
    const std::vector<char> recomputed = Recomputed(rank);
    std::vector<std::pair<double, double>> curve;
    double held = 0, peak = 0;
    const auto change = [&](double time, double by) {
      held += by;
      peak = std::max(peak, held);
      if (!curve.empty() && curve.back().first == time) {
        curve.back().second = held;
      } else {
        curve.emplace_back(time, held);
      }
    };
    size_t at = 0;
    for (const TimedAction& timed : out_.ranks[rank]) {
      const int stage = timed.action.stage;
      const double stash = costs_.stash.empty() ? 1 : costs_.stash[stage];
      const double weight = costs_.weight_stash.empty() ? stash / 2 : std::min(stash, costs_.weight_stash[stage]);
      const bool takes = timed.action.phase == proto::R || (timed.action.phase == proto::F && !recomputed[at]);
      ++at;
      if (takes) change(timed.start, stash);
      if (timed.action.phase == proto::B) change(timed.end, weight - stash);
      if (timed.action.phase == proto::BW) change(timed.end, -stash);
      if (timed.action.phase == proto::W) change(timed.end, -weight);
    }
    out_.peak_memory.push_back(peak);
    out_.memory.push_back(std::move(curve));
  }

  // By position on the rank: is it an F that an R repeats?
  std::vector<char> Recomputed(size_t rank) const {
    const std::vector<TimedAction>& list = out_.ranks[rank];
    std::vector<char> recomputed(list.size(), false);
    std::vector<size_t> forward;  // by stage and micro-batch; made only where there is an R
    const auto at = [&](const Action& a) {
      return static_cast<size_t>(a.stage) * schedule_.micro_batches + a.micro_batch;
    };
    const auto is_r = [](const TimedAction& timed) { return timed.action.phase == proto::R; };
    if (std::none_of(list.begin(), list.end(), is_r)) return recomputed;
    forward.resize(static_cast<size_t>(schedule_.stages) * schedule_.micro_batches);
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].action.phase == proto::F) forward[at(list[i].action)] = i;
      if (is_r(list[i])) recomputed[forward[at(list[i].action)]] = true;
    }
    return recomputed;
  }

  void InFlight() {
    out_.peak_in_flight.assign(schedule_.stages, 0);
    std::vector<int> now(schedule_.stages, 0);
    for (const std::vector<Action>& list : schedule_.ranks) {
      for (const Action& a : list) {
        if (a.phase == proto::F) out_.peak_in_flight[a.stage] = std::max(out_.peak_in_flight[a.stage], ++now[a.stage]);
        if (a.phase == proto::B || a.phase == proto::BW) --now[a.stage];
      }
    }
  }

  // Backwards from the action that ends last, each time to what it waited for longest.
  void CriticalPath() {
    ScheduleCause at;
    for (size_t r = 0; r < out_.ranks.size(); ++r) {
      if (out_.ranks[r].empty() || out_.ranks[r].back().end != out_.makespan) continue;
      at = {ScheduleCause::kAction, static_cast<int>(r), static_cast<int>(out_.ranks[r].size()) - 1};
    }
    while (at.kind != ScheduleCause::kNothing) {
      CriticalStep step;
      if (at.kind == ScheduleCause::kAction) {
        const TimedAction& timed = out_.ranks[at.a][at.b];
        step = {timed.action, false, timed.start, timed.end};
        at = causes_[at.a][at.b];
      } else {
        const TimedTransfer& transfer = out_.transfers[at.a];
        const bool whole = at.kind == ScheduleCause::kArrival;
        step = {transfer.maker, true, transfer.begun, whole ? transfer.arrived : transfer.left};
        at = transfer_causes_[at.a];
      }
      // Transfers that take no time are left out.
      if (!step.transfer || step.end > step.start) out_.critical_path.push_back(step);
    }
    std::reverse(out_.critical_path.begin(), out_.critical_path.end());
  }

  const Schedule& schedule_;
  const ScheduleCosts& costs_;
  const std::vector<std::vector<ScheduleCause>> causes_;
  const std::vector<ScheduleCause> transfer_causes_;
  ScheduleSimulation out_;
};

}  // namespace

ScheduleCosts ScheduleCosts::Uniform(int stages, double forward, double backward_input, double backward_weight,
                                     double communication) {
  ScheduleCosts costs;
  costs.forward.assign(stages, forward);
  costs.backward_input.assign(stages, backward_input);
  costs.backward_weight.assign(stages, backward_weight);
  costs.communication.assign(stages, communication);
  return costs;
}

std::string TimedTransfer::Name() const {
  return absl::StrCat(maker.stage, maker.phase == proto::F ? "SEND_F" : "SEND_B", maker.micro_batch);
}

absl::StatusOr<ScheduleSimulation> SimulateSchedule(const Schedule& schedule, const ScheduleCosts& costs,
                                                    const ScheduleResources& resources) {
  MR_RETURN_IF_ERROR(CheckCosts(schedule, costs, resources));
  MR_ASSIGN_OR_RETURN(ScheduleTimeline timeline, RunClock(schedule, costs, resources));
  return Figures(schedule, costs, std::move(timeline)).Run();
}

}  // namespace millrace
