#include "partitioner/cost_graph/orders.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

namespace millrace {
namespace {

using Lists = std::vector<std::vector<int>>;

Lists Turned(const Lists& before) {
  Lists after(before.size());
  for (size_t u = 0; u < before.size(); ++u) {
    for (int b : before[u]) after[b].push_back(static_cast<int>(u));
  }
  return after;
}

// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Always the ready unit with the least rank; rank(unit, step) is asked once, when the unit becomes ready at that step.
std::vector<int> OrderByRank(const Lists& before, const Lists& after,
                             const std::function<std::pair<double, double>(int unit, int step)>& rank) {
  const int units = static_cast<int>(before.size());
  std::vector<int> open(units);
  std::set<std::pair<std::pair<double, double>, int>> ready;
  std::vector<int> order;
  for (int u = 0; u < units; ++u) {
    open[u] = static_cast<int>(before[u].size());
    if (open[u] == 0) ready.insert({rank(u, 0), u});
  }
  while (!ready.empty()) {
    const int u = ready.begin()->second;
    ready.erase(ready.begin());
    order.push_back(u);
    for (int next : after[u]) {
      if (--open[next] == 0) ready.insert({rank(next, static_cast<int>(order.size())), next});
    }
  }
  return order;
}

// Time from each unit to the end, its own included.
std::vector<double> WaysToTheEnd(const SplitProblem& problem, const Lists& before, const Lists& after) {
  const std::vector<int> order = OrderByRank(before, after, [](int u, int) { return std::pair(double(u), 0.0); });
  std::vector<double> way(before.size(), 0);
  for (auto u = order.rbegin(); u != order.rend(); ++u) {
    for (int next : after[*u]) way[*u] = std::max(way[*u], way[next]);
    way[*u] += problem.units[*u].accelerator_time + 1e-9;
  }
  return way;
}

// Always the ready unit that leaves the least cost of tensors open: begun but not ended.
std::vector<int> FewestOpen(const SplitProblem& problem, const Lists& before, const Lists& after) {
  const int units = static_cast<int>(before.size());
  Lists tensors_of(units);
  for (size_t t = 0; t < problem.tensors.size(); ++t) {
    for (int u : problem.tensors[t].units) tensors_of[u].push_back(static_cast<int>(t));
  }
  std::vector<int> inside(problem.tensors.size(), 0), open(units), ready, order;
  for (int u = 0; u < units; ++u) {
    open[u] = static_cast<int>(before[u].size());
    if (open[u] == 0) ready.push_back(u);
  }
  const auto change = [&](int u) {
    double by = 0;
    for (int t : tensors_of[u]) {
      const SplitTensor& tensor = problem.tensors[t];
      if (inside[t] == 0) by += tensor.cost;
      if (inside[t] + 1 == static_cast<int>(tensor.units.size())) by -= tensor.cost;
    }
    return by;
  };
  while (!ready.empty()) {
    size_t best = 0;
    double least = change(ready[0]);
    for (size_t i = 1; i < ready.size(); ++i) {
      const double by = change(ready[i]);
      if (by < least || (by == least && ready[i] < ready[best])) least = by, best = i;
    }
    const int u = ready[best];
    ready.erase(ready.begin() + static_cast<int64_t>(best));
    order.push_back(u);
    for (int t : tensors_of[u]) ++inside[t];
    for (int next : after[u]) {
      if (--open[next] == 0) ready.push_back(next);
    }
  }
  return order;
}

}  // namespace

std::vector<std::vector<int>> RuleOrders(const SplitProblem& problem) {
  std::vector<std::vector<int>> orders;
  const auto keep = [&](std::vector<int> order) {
    if (std::find(orders.begin(), orders.end(), order) == orders.end()) orders.push_back(std::move(order));
  };
  const Lists after = Turned(problem.before);
  for (const bool backwards : {false, true}) {
    const Lists& first = backwards ? after : problem.before;
    const Lists& then = backwards ? problem.before : after;
    const std::vector<double> way = WaysToTheEnd(problem, first, then);
    const auto add = [&](std::vector<int> order) {
      if (backwards) std::reverse(order.begin(), order.end());
      keep(std::move(order));
    };
    add(OrderByRank(first, then, [&](int u, int) { return std::pair(double(backwards ? -u : u), 0.0); }));
    add(OrderByRank(first, then, [](int u, int step) { return std::pair(double(step), double(u)); }));
    add(OrderByRank(first, then, [](int u, int step) { return std::pair(-double(step), double(u)); }));
    add(OrderByRank(first, then, [](int u, int step) { return std::pair(-double(step), -double(u)); }));
    add(OrderByRank(first, then, [&](int u, int) { return std::pair(-way[u], double(u)); }));
    add(FewestOpen(problem, first, then));
  }
  return orders;
}

std::vector<int> RandomOrder(const SplitProblem& problem, uint64_t seed, const std::vector<int>* group) {
  const Lists after = Turned(problem.before);
  // Depth first with chance on even seeds, any ready unit on odd ones: the first kind opens fewer tensors.
  return OrderByRank(problem.before, after, [&](int u, int step) {
    const double chance = static_cast<double>(Mix(seed * 0x100000001b3u + static_cast<uint64_t>(u)) >> 11) * 0x1p-53;
    const double rank = seed % 2 == 0 ? -step + 4 * chance : chance;
    return std::pair(group == nullptr ? 0.0 : double((*group)[u]), rank);
  });
}

}  // namespace millrace
