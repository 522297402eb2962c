#include "partitioner/graph/topological_order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/check_model.h"

namespace millrace {
namespace {

// Every unplaced node has an unplaced producer, so walking up must come back to a node already met.
std::string CycleText(const proto::Model& model, const std::vector<std::vector<int>>& producers,
                      const std::vector<bool>& placed) {
  std::vector<int> met_at(placed.size(), -1);
  std::vector<int> walk;
  int node = std::find(placed.begin(), placed.end(), false) - placed.begin();
  while (met_at[node] < 0) {
    met_at[node] = walk.size();
    walk.push_back(node);
    node = *std::find_if(producers[node].begin(), producers[node].end(), [&](int p) { return !placed[p]; });
  }
  std::vector<int> cycle(walk.begin() + met_at[node], walk.end());
  std::reverse(cycle.begin(), cycle.end());
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
  constexpr int kMostNamed = 12;
  std::vector<std::string> names;
  for (int n : cycle) {
    if (static_cast<int>(names.size()) == kMostNamed) break;
    names.push_back(QuotedName(model.nodes(n).name()));
  }
  if (static_cast<int>(cycle.size()) > kMostNamed) names.push_back("...");
  return absl::StrCat(absl::StrJoin(names, " -> "), " -> ", QuotedName(model.nodes(cycle[0]).name()));
}

}  // namespace

absl::StatusOr<std::vector<int>> TopologicalOrder(const proto::Model& model,
                                                  const std::vector<std::vector<int>>& producers) {
  const int n = producers.size();
  std::vector<int> waiting_for(n, 0);
  std::vector<std::vector<int>> readers(n);
  for (int i = 0; i < n; ++i) {
    waiting_for[i] = producers[i].size();
    for (int p : producers[i]) readers[p].push_back(i);
  }
  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  for (int i = 0; i < n; ++i) {
    if (waiting_for[i] == 0) ready.push(i);
  }
  std::vector<int> order;
  std::vector<bool> placed(n, false);
  while (!ready.empty()) {
    const int node = ready.top();
    ready.pop();
    placed[node] = true;
    order.push_back(node);
    for (int reader : readers[node]) {
      if (--waiting_for[reader] == 0) ready.push(reader);
    }
  }
  if (static_cast<int>(order.size()) < n) {
    return absl::InvalidArgumentError(
        absl::StrCat("the nodes form a cycle: ", CycleText(model, producers, placed), "; a graph must have none"));
  }
  return order;
}

}  // namespace millrace
