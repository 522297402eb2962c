#include "partitioner/schedule/v_block.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <optional>
#include <utility>

#include "partitioner/schedule/lazy_w.h"
#include "partitioner/schedule/placement.h"
#include "partitioner/schedule/span.h"

namespace millrace {
namespace {

constexpr int kPeriod = 6;

// When each pass of micro-batch 0 runs: F down, F up, B down, B up.
using Block = std::vector<std::array<int, 4>>;

Block Lay(int ranks, const VSteps& steps, const std::array<int, 3>& shifts) {
  Block block(ranks);
  for (int r = 0; r < ranks; ++r) block[r][0] = steps.forward_down * r;
  const int last = ranks - 1;
  for (int r = 0; r < ranks; ++r) block[r][1] = block[last][0] + 1 + shifts[0] + steps.forward_up * (last - r);
  for (int r = 0; r < ranks; ++r) block[r][2] = block[0][1] + 1 + shifts[1] + steps.backward_down * r;
  for (int r = 0; r < ranks; ++r) block[r][3] = block[last][2] + 1 + shifts[2] + steps.backward_up * (last - r);
  return block;
}

// Do passes of different micro-batches never meet on a rank?
bool Repeats(const Block& block) {
  for (const auto& times : block) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < i; ++j) {
        if ((times[i] - times[j]) % kPeriod == 0) return false;
      }
    }
  }
  return true;
}

// The block that repeats and holds least, by waiting at the V's three turns. A unit at the turn of the middle is held
// by both chunks.
Block TightestBlock(int ranks, const VSteps& steps) {
  for (int held = 0; held <= 4 * (kPeriod - 1); ++held) {
    for (int middle = 0; middle < kPeriod && 2 * middle <= held; ++middle) {
      for (int first = 0; first < kPeriod && first + 2 * middle <= held; ++first) {
        const int last = held - 2 * middle - first;
        if (last >= kPeriod) continue;
        Block block = Lay(ranks, steps, {first, middle, last});
        if (Repeats(block)) return block;
      }
    }
  }
  return {};
}

std::vector<Action> OrderOfRank(int ranks, int rank, int micro_batches, const std::array<int, 4>& times) {
  struct Timed {
    int time;
    Action action;
  };
  const int down = rank, up = 2 * ranks - 1 - rank;
  std::vector<Timed> passes;
  for (int m = 0; m < micro_batches; ++m) {
    passes.push_back({times[0] + kPeriod * m, {down, proto::F, m}});
    passes.push_back({times[1] + kPeriod * m, {up, proto::F, m}});
    passes.push_back({times[2] + kPeriod * m, {up, proto::B, m}});
    passes.push_back({times[3] + kPeriod * m, {down, proto::B, m}});
  }
  std::sort(passes.begin(), passes.end(), [](const Timed& a, const Timed& b) { return a.time < b.time; });
  std::vector<Action> order;
  std::deque<Action> waiting;  // W's
  int now = 0;
  const auto run_one_w = [&] {
    order.push_back(waiting.front());
    waiting.pop_front();
  };
  for (const Timed& pass : passes) {
    for (; now < pass.time; ++now) {
      if (!waiting.empty()) run_one_w();
    }
    order.push_back(pass.action);
    if (pass.action.phase == proto::B) {
      waiting.push_back({pass.action.stage, proto::W, pass.action.micro_batch});
    }
    now = pass.time + 1;
  }
  while (!waiting.empty()) run_one_w();
  return order;
}

int HalvesOf(proto::Phase phase, int kept) {
  return phase == proto::F ? 2 : phase == proto::BW ? -2 : phase == proto::W ? -kept : kept - 2;
}

int MostHeld(const Schedule& schedule, int kept) {
  int most = 0;
  for (const std::vector<Action>& list : schedule.ranks) {
    int held = 0;
    for (const Action& action : list) most = std::max(most, held += HalvesOf(action.phase, kept));
  }
  return most;
}

}  // namespace

Schedule RepeatBlock(int ranks, int micro_batches, const VSteps& steps) {
  Schedule schedule{.stages = 2 * ranks, .micro_batches = micro_batches, .rank_of_stage = VPlacement(ranks)};
  const Block block = TightestBlock(ranks, steps);
  if (block.empty()) return Schedule();
  for (int r = 0; r < ranks; ++r) schedule.ranks.push_back(OrderOfRank(ranks, r, micro_batches, block[r]));
  return schedule;
}

int MostHeldHalves(const Schedule& schedule) { return MostHeld(schedule, 1); }

int KeptHalves(const ScheduleCosts& costs) {
  double stash = 0, weight_stash = 0;
  for (double bytes : costs.stash) stash += bytes;
  for (double bytes : costs.weight_stash) weight_stash += bytes;
  return weight_stash > 0.75 * stash ? 2 : 1;
}

Schedule WAfterB(const Schedule& schedule) {
  Schedule result = schedule;
  for (std::vector<Action>& list : result.ranks) {
    std::vector<Action> eager;
    for (const Action& action : list) {
      if (action.phase == proto::W) continue;
      eager.push_back(action);
      if (action.phase == proto::B) eager.push_back({action.stage, proto::W, action.micro_batch});
    }
    list = std::move(eager);
  }
  return result;
}

Schedule BestOfBlock(const Schedule& order, const ScheduleCosts& costs, int limit) {
  const int kept = KeptHalves(costs);
  Schedule best = WAfterB(order);
  double best_span = *LongestSpan(best, costs);
  const auto consider = [&](Schedule schedule) {
    if (MostHeld(schedule, kept) > limit) return;
    const std::optional<double> span = LongestSpan(schedule, costs);
    if (!span.has_value() || *span >= best_span) return;
    best_span = *span;
    best = std::move(schedule);
  };
  std::vector<Schedule> orders = {order, WAfterB(order)};
  for (int i = 0; i < 2; ++i) {
    const int own = MostHeld(orders[i], kept);
    if (own > limit) continue;
    for (bool in_gaps_only : {true, false}) {
      orders.push_back(Squeeze(orders[i], costs, {own, kept, in_gaps_only}));
      if (own < limit) orders.push_back(Squeeze(orders[i], costs, {limit, kept, in_gaps_only}));
    }
  }
  for (const Schedule& candidate : orders) {
    consider(candidate);
    for (bool in_every_gap : {true, false}) consider(LazyW(candidate, costs, limit, kept, in_every_gap));
  }
  return best;
}

}  // namespace millrace
