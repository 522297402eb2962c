#include "partitioner/schedule/interleaved.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "partitioner/schedule/placement.h"
#include "partitioner/schedule/span.h"

namespace millrace {
namespace {

struct Item {
  int chunk;
  int micro_batch;
};

// Sizes of groups, all m micro-batches in a row.
using Groups = std::vector<int>;

// The sequence that every rank runs its chunks in: groups in turn, in a group the chunks in turn.
std::vector<Item> Sequence(const Groups& groups, int chunks, bool backward) {
  std::vector<Item> items;
  int first = 0;
  for (int size : groups) {
    for (int c = 0; c < chunks; ++c) {
      for (int m = 0; m < size; ++m) items.push_back({backward ? chunks - 1 - c : c, first + m});
    }
    first += size;
  }
  return items;
}

// How many forwards the last rank must have behind it before each backward: enough to have run the same item forward,
// and one more than before the backward before.
std::vector<int> ForwardsNeeded(const Groups& groups, int chunks) {
  std::vector<int> needed;
  int base = 0, last = 0;
  for (int size : groups) {
    for (int c = chunks - 1; c >= 0; --c) {
      for (int m = 0; m < size; ++m) needed.push_back(last = std::max(last + 1, base + c * size + m + 1));
    }
    base += chunks * size;
  }
  return needed;
}

Schedule OfGroups(int ranks, int chunks, const Groups& groups, int micro_batches, bool all_forward_first) {
  Schedule schedule{.stages = ranks * chunks, .micro_batches = micro_batches};
  schedule.rank_of_stage = RoundRobinPlacement(ranks, chunks);
  const std::vector<Item> forward = Sequence(groups, chunks, false), backward = Sequence(groups, chunks, true);
  const std::vector<int> needed = ForwardsNeeded(groups, chunks);
  const int total = static_cast<int>(forward.size());
  for (int r = 0; r < ranks; ++r) {
    std::vector<Action>& list = schedule.ranks.emplace_back();
    list.reserve(2 * total);
    int f = 0;
    for (int b = 0; b < total; ++b) {
      // Two more for each rank that follows: one for the way there, one for the way back.
      const int until = all_forward_first ? total : std::min(total, needed[b] + 2 * (ranks - 1 - r));
      for (; f < until; ++f) list.push_back({forward[f].chunk * ranks + r, proto::F, forward[f].micro_batch});
      list.push_back({backward[b].chunk * ranks + r, proto::BW, backward[b].micro_batch});
    }
  }
  return schedule;
}

// The paper's groups when p divides m; else the ways to place the rest, those first that hold less.
std::vector<Groups> WaysToGroup(int ranks, int micro_batches) {
  const int whole = micro_batches / ranks, rest = micro_batches % ranks;
  if (whole == 0) return {{micro_batches}};
  if (rest == 0) return {Groups(whole, ranks)};
  std::vector<Groups> ways;
  Groups last_small(whole, ranks), spread(whole, ranks), first_large(whole, ranks), last_large(whole, ranks);
  last_small.push_back(rest);
  for (int i = 0; i < rest; ++i) ++spread[whole - 1 - i % whole];
  last_large.back() += rest;
  first_large.front() += rest;
  Groups halves(whole - 1, ranks);  // the last whole group and the rest, in two halves
  halves.push_back((ranks + rest + 1) / 2);
  halves.push_back((ranks + rest) / 2);
  return {last_small, halves, spread, last_large, first_large};
}

}  // namespace

Schedule Interleaved(int ranks, int chunks, int micro_batches, const ScheduleCosts& costs) {
  std::optional<std::pair<double, Schedule>> best;
  const auto consider = [&](Schedule schedule) {
    const std::optional<double> span = LongestSpan(schedule, costs);
    // A later way must be better by more than rounding.
    if (span.has_value() && (!best.has_value() || *span < best->first * (1 - 1e-12))) {
      best.emplace(*span, std::move(schedule));
    }
  };
  for (const Groups& groups : WaysToGroup(ranks, micro_batches)) {
    consider(OfGroups(ranks, chunks, groups, micro_batches, /*all_forward_first=*/false));
  }
  // Megatron's exception; and what never deadlocks.
  if (micro_batches <= ranks || !best.has_value()) {
    consider(OfGroups(ranks, chunks, WaysToGroup(ranks, micro_batches).back(), micro_batches, true));
  }
  return std::move(best->second);
}

}  // namespace millrace
