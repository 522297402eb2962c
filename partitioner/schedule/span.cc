#include "partitioner/schedule/span.h"

#include <algorithm>
#include <vector>

namespace millrace {
namespace {

class Play {
 public:
  Play(const Schedule& schedule, const ScheduleCosts& costs)
      : schedule_(schedule),
        costs_(costs),
        forward_(schedule.stages * schedule.micro_batches, kNotYet),
        backward_(schedule.stages * schedule.micro_batches, kNotYet),
        next_(schedule.ranks.size()),
        now_(schedule.ranks.size()),
        first_(schedule.ranks.size()),
        awaited_(schedule.ranks.size()),
        waits_(schedule.ranks.size()) {}

  std::optional<double> Run() {
    for (int r = 0; r < next_.size(); ++r) awake_.push_back(r);
    while (!awake_.empty()) {
      const int rank = awake_.back();
      awake_.pop_back();
      while (next_[rank] < schedule_.ranks[rank].size() && Step(rank)) ++next_[rank];
    }
    double longest = 0;
    for (int r = 0; r < next_.size(); ++r) {
      if (next_[r] < schedule_.ranks[r].size()) return std::nullopt;
      longest = std::max(longest, now_[r] - first_[r]);
    }
    return longest;
  }

 private:
  static constexpr double kNotYet = -1;

  int At(int stage, int micro_batch) const { return stage * schedule_.micro_batches + micro_batch; }

  // When the neighbour's result is here; kNotYet when it has none. `edge` is between stages edge and edge + 1.
  double Arrival(const std::vector<double>& ends, int from, int to, int micro_batch) const {
    const double end = ends[At(from, micro_batch)];
    if (end == kNotYet || schedule_.rank_of_stage[from] == schedule_.rank_of_stage[to]) return end;
    return end + costs_.communication[std::min(from, to)];
  }

  bool Step(int rank) {
    const Action& action = schedule_.ranks[rank][next_[rank]];
    const int s = action.stage, m = action.micro_batch;
    double start = now_[rank], duration = costs_.backward_weight[s];
    if (action.phase == proto::F) {
      duration = costs_.forward[s];
      if (s > 0) {
        const double arrival = Arrival(forward_, s - 1, s, m);
        if (arrival == kNotYet) return Await(rank, At(s - 1, m));
        start = std::max(start, arrival);
      }
    } else if (action.phase == proto::R) {
      if (forward_[At(s, m)] == kNotYet) return false;
      duration = costs_.recompute.empty() ? costs_.forward[s] : costs_.recompute[s];
    } else if (action.phase != proto::W) {
      duration = costs_.backward_input[s] + (action.phase == proto::BW ? costs_.backward_weight[s] : 0);
      const double arrival = s + 1 < schedule_.stages ? Arrival(backward_, s + 1, s, m) : forward_[At(s, m)];
      if (arrival == kNotYet && s + 1 < schedule_.stages) return Await(rank, -At(s + 1, m));
      if (arrival == kNotYet || forward_[At(s, m)] == kNotYet) return false;
      start = std::max(start, arrival);
    } else if (backward_[At(s, m)] == kNotYet) {
      return false;
    }
    if (next_[rank] == 0) first_[rank] = start;
    now_[rank] = start + duration;
    if (action.phase == proto::F) {
      forward_[At(s, m)] = now_[rank];
      if (s + 1 < schedule_.stages) Wake(schedule_.rank_of_stage[s + 1], At(s, m));
    } else if (action.phase == proto::B || action.phase == proto::BW) {
      backward_[At(s, m)] = now_[rank];
      if (s > 0) Wake(schedule_.rank_of_stage[s - 1], -At(s, m));
    }
    return true;
  }

  // Remembers what a rank waits for at a neighbour: the F at that place, or, negative, the backward pass (which is
  // never stage 0's, so 0 is an F).
  bool Await(int rank, int what) {
    awaited_[rank] = what;
    waits_[rank] = true;
    return false;
  }

  void Wake(int rank, int what) {
    if (!waits_[rank] || awaited_[rank] != what) return;
    waits_[rank] = false;
    awake_.push_back(rank);
  }

  const Schedule& schedule_;
  const ScheduleCosts& costs_;
  std::vector<double> forward_, backward_;  // ends
  std::vector<size_t> next_;
  std::vector<double> now_, first_;
  std::vector<int> awaited_;  // by rank
  std::vector<char> waits_;   // by rank
  std::vector<int> awake_;
};

}  // namespace

std::optional<double> LongestSpan(const Schedule& schedule, const ScheduleCosts& costs) {
  return Play(schedule, costs).Run();
}

}  // namespace millrace
