#include "partitioner/lower/scratch.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "partitioner/lower/pools.h"

namespace millrace {
namespace {

// Places the intervals in the given order; returns the height.
uint64_t Place(const std::vector<int>& order, std::vector<Interval>* intervals) {
  uint64_t height = 0;
  std::vector<int> placed;  // by offset
  for (int i : order) {
    Interval& interval = (*intervals)[i];
    uint64_t offset = 0;
    for (int p : placed) {
      const Interval& other = (*intervals)[p];
      if (other.last < interval.first || interval.last < other.first) continue;
      if (offset + interval.bytes <= other.offset) break;
      offset = std::max(offset, other.offset + other.bytes);
    }
    interval.offset = offset;
    height = std::max(height, offset + interval.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                   [&](uint64_t at, int p) { return at < (*intervals)[p].offset; }),
                  i);
  }
  return height;
}

}  // namespace

uint64_t PackIntervals(std::vector<Interval>* intervals) {
  std::vector<int> by_size(intervals->size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::vector<int> by_start = by_size;
  const auto& all = *intervals;
  std::stable_sort(by_size.begin(), by_size.end(), [&](int a, int b) {
    return std::tuple(~all[a].bytes, all[a].first) < std::tuple(~all[b].bytes, all[b].first);
  });
  std::stable_sort(by_start.begin(), by_start.end(), [&](int a, int b) {
    return std::tuple(all[a].first, ~all[a].bytes) < std::tuple(all[b].first, ~all[b].bytes);
  });
  std::vector<Interval> other = all;
  const uint64_t height = Place(by_size, intervals);
  const uint64_t other_height = Place(by_start, &other);
  if (other_height >= height) return height;
  *intervals = std::move(other);
  return other_height;
}

RunScratch LayOutScratch(const Flow& flow, const PhaseRun& run) {
  const ProgramSource& source = *flow.source;
  const Graph& graph = source.staged.graph;
  std::vector<Interval> intervals;
  absl::flat_hash_map<int, int> interval_of;  // root
  std::vector<int> roots;                     // parallel to intervals
  const auto touch = [&](int v, int call) {
    if (v < 0) return;
    const int root = graph.Root(v);
    if (graph.values[root].kind != GraphValue::Kind::kActivation || root == source.staged.loss_sum ||
        root == source.staged.loss_count || flow.ResidentAt(run.stage, root) >= 0) {
      return;
    }
    const auto [found, is_new] = interval_of.emplace(root, static_cast<int>(intervals.size()));
    if (is_new) {
      intervals.push_back({call, call, RoundUp(graph.values[root].spec.bytes())});
      roots.push_back(root);
    }
    intervals[found->second].last = call;
  };
  const int calls = static_cast<int>(run.nodes.size());
  for (int c = 0; c < calls; ++c) {
    for (int v : graph.nodes[run.nodes[c]].inputs) touch(v, c);
    for (int v : graph.nodes[run.nodes[c]].outputs) touch(v, c);
  }
  const size_t values = intervals.size();
  for (int c = 0; c < calls; ++c) intervals.push_back({c, c, RoundUp(source.needs[run.nodes[c]].scratch_bytes)});

  RunScratch scratch;
  std::vector<uint64_t> change(calls + 1, 0);
  for (const Interval& interval : intervals) {
    change[interval.first] += interval.bytes;
    change[interval.last + 1] -= interval.bytes;
  }
  uint64_t alive = 0;
  for (int c = 0; c < calls; ++c) scratch.peak = std::max(scratch.peak, alive += change[c]);
  // What takes no bytes needs no place.
  std::vector<Interval> real;
  for (const Interval& interval : intervals) {
    if (interval.bytes > 0) real.push_back(interval);
  }
  scratch.height = PackIntervals(&real);
  for (size_t i = 0, r = 0; i < intervals.size(); ++i) {
    const uint64_t offset = intervals[i].bytes > 0 ? real[r++].offset : 0;
    if (i < values)
      scratch.value_offset.emplace(roots[i], offset);
    else
      scratch.call_offset.push_back(offset);
  }
  return scratch;
}

}  // namespace millrace
