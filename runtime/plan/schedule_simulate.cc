#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/schedule.h"
#include "runtime/plan/schedule_walk.h"

namespace millrace {
namespace {

absl::Status CheckVector(absl::string_view name, const std::vector<double>& values, int stages, bool may_be_empty) {
  if (may_be_empty && values.empty()) return absl::OkStatus();
  if (static_cast<int>(values.size()) != stages) {
    return absl::InvalidArgumentError(absl::StrCat("schedule costs: ", values.size(), " values of ", name, " for ",
                                                   stages, " stages; give one per stage"));
  }
  for (int s = 0; s < stages; ++s) {
    if (std::isfinite(values[s]) && values[s] >= 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("schedule costs: ", name, " of stage ", s, " is ", values[s],
                                                   "; a cost is finite and not negative"));
  }
  return absl::OkStatus();
}

absl::Status CheckCosts(const ScheduleCosts& costs, int stages) {
  MR_RETURN_IF_ERROR(CheckVector("forward", costs.forward, stages, false));
  MR_RETURN_IF_ERROR(CheckVector("backward_input", costs.backward_input, stages, false));
  MR_RETURN_IF_ERROR(CheckVector("backward_weight", costs.backward_weight, stages, false));
  MR_RETURN_IF_ERROR(CheckVector("recompute", costs.recompute, stages, true));
  MR_RETURN_IF_ERROR(CheckVector("communication", costs.communication, stages, false));
  MR_RETURN_IF_ERROR(CheckVector("stash", costs.stash, stages, true));
  return CheckVector("weight_stash", costs.weight_stash, stages, true);
}

class Clock {
 public:
  Clock(const Schedule& schedule, const ScheduleCosts& costs)
      : schedule_(schedule), costs_(costs), positions_{Table(), Table()}, out_() {
    out_.ranks.resize(schedule.ranks.size());
    for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) out_.ranks[rank].reserve(schedule.ranks[rank].size());
  }

  absl::StatusOr<ScheduleSimulation> Run() && {
    const std::vector<size_t> next = WalkSchedule(schedule_, [this](int rank, size_t at) { Execute(rank, at); });
    for (size_t rank = 0; rank < next.size(); ++rank) {
      if (next[rank] == schedule_.ranks[rank].size()) continue;
      return absl::InvalidArgumentError("schedule costs: the schedule deadlocks; verify it before simulating it");
    }
    Spans();
    for (size_t rank = 0; rank < schedule_.ranks.size(); ++rank) Memory(rank);
    InFlight();
    CriticalPath();
    return std::move(out_);
  }

 private:
  std::vector<int> Table() const {
    return std::vector<int>(static_cast<size_t>(schedule_.stages) * schedule_.micro_batches, -1);
  }
  size_t Slot(const Action& a) const { return static_cast<size_t>(a.stage) * schedule_.micro_batches + a.micro_batch; }

  double Duration(const Action& a) const {
    switch (a.phase) {
      case proto::F:
        return costs_.forward[a.stage];
      case proto::B:
        return costs_.backward_input[a.stage];
      case proto::W:
        return costs_.backward_weight[a.stage];
      case proto::BW:
        return costs_.backward_input[a.stage] + costs_.backward_weight[a.stage];
      default:
        return costs_.recompute.empty() ? costs_.forward[a.stage] : costs_.recompute[a.stage];
    }
  }

  const TimedAction& Done(const Action& input) const {
    return out_.ranks[schedule_.rank_of_stage[input.stage]][positions_[input.phase != proto::F][Slot(input)]];
  }

  double Arrival(const Action& action, const Action& input) const {
    const bool same_rank = schedule_.rank_of_stage[action.stage] == schedule_.rank_of_stage[input.stage];
    return Done(input).end + (same_rank ? 0 : costs_.communication[std::min(action.stage, input.stage)]);
  }

  void Execute(int rank, size_t at) {
    const Action& action = schedule_.ranks[rank][at];
    std::vector<TimedAction>& mine = out_.ranks[rank];
    TimedAction timed{action, mine.empty() ? 0 : mine.back().end, 0};
    if (const auto input = NeighbourInput(schedule_, action)) {
      timed.start = std::max(timed.start, Arrival(action, *input));
    }
    timed.end = timed.start + Duration(action);
    mine.push_back(timed);
    if (action.phase == proto::F || action.phase == proto::B || action.phase == proto::BW) {
      positions_[action.phase != proto::F][Slot(action)] = static_cast<int>(at);
    }
  }

  void Spans() {
    double total = 0, busiest = 0;
    for (const std::vector<TimedAction>& list : out_.ranks) {
      double busy = 0;
      for (const TimedAction& timed : list) busy += Duration(timed.action);
      const double span = list.empty() ? 0 : list.back().end - list.front().start;
      out_.busy.push_back(busy);
      out_.idle_for_data.push_back(std::max(0.0, span - busy));
      out_.longest_span = std::max(out_.longest_span, span);
      if (!list.empty()) out_.makespan = std::max(out_.makespan, list.back().end);
      total += busy;
      busiest = std::max(busiest, busy);
    }
    if (out_.longest_span > 0) out_.bubble_rate = 1 - total / out_.ranks.size() / out_.longest_span;
    if (busiest > 0) out_.bubble_over_ideal = (out_.longest_span - busiest) / busiest;
  }

  // What a rank holds of the stage's stash: taken at the start of F (or R), given back at the ends of B and W.
  void Memory(size_t rank) {
    std::vector<char> recomputed(Recomputed(rank));
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
    for (const TimedAction& timed : list) {
      if (timed.action.phase == proto::R) recomputed[positions_[0][Slot(timed.action)]] = true;
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

  // Backwards from the action that ends last, each time to what it waited for: its rank's last action or its input.
  void CriticalPath() {
    int rank = 0;
    for (size_t r = 0; r < out_.ranks.size(); ++r) {
      if (!out_.ranks[r].empty() && out_.ranks[r].back().end == out_.makespan) rank = static_cast<int>(r);
    }
    int at = static_cast<int>(out_.ranks[rank].size()) - 1;
    while (at >= 0) {
      const TimedAction& timed = out_.ranks[rank][at];
      out_.critical_path.push_back(timed);
      const auto input = NeighbourInput(schedule_, timed.action);
      if (at > 0 && out_.ranks[rank][at - 1].end == timed.start) {
        --at;
      } else if (input.has_value()) {
        rank = schedule_.rank_of_stage[input->stage];
        at = positions_[input->phase != proto::F][Slot(*input)];
      } else {
        break;
      }
    }
    std::reverse(out_.critical_path.begin(), out_.critical_path.end());
  }

  const Schedule& schedule_;
  const ScheduleCosts& costs_;
  std::vector<int> positions_[2];  // of F, of B or BW: where in its rank's list; by stage and micro-batch
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

absl::StatusOr<ScheduleSimulation> SimulateSchedule(const Schedule& schedule, const ScheduleCosts& costs) {
  MR_RETURN_IF_ERROR(CheckCosts(costs, schedule.stages));
  return Clock(schedule, costs).Run();
}

}  // namespace millrace
