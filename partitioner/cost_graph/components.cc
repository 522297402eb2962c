#include "partitioner/cost_graph/components.h"

#include <algorithm>

namespace millrace {

std::vector<int> StronglyConnected(const std::vector<std::vector<int>>& edges) {
  const int vertices = static_cast<int>(edges.size());
  std::vector<int> index(vertices, -1), low(vertices, 0), component(vertices, -1), open;
  struct Visit {
    int vertex;
    size_t next;
  };
  std::vector<Visit> path;
  int counter = 0, components = 0;
  for (int start = 0; start < vertices; ++start) {
    if (index[start] >= 0) continue;
    path.push_back({start, 0});
    while (!path.empty()) {
      const int v = path.back().vertex;
      if (path.back().next == 0) {
        index[v] = low[v] = counter++;
        open.push_back(v);
      }
      if (path.back().next < edges[v].size()) {
        const int to = edges[v][path.back().next++];
        if (index[to] < 0) {
          path.push_back({to, 0});
        } else if (component[to] < 0) {
          low[v] = std::min(low[v], index[to]);
        }
        continue;
      }
      if (low[v] == index[v]) {
        for (int u = -1; u != v;) {
          u = open.back();
          open.pop_back();
          component[u] = components;
        }
        ++components;
      }
      path.pop_back();
      if (!path.empty()) low[path.back().vertex] = std::min(low[path.back().vertex], low[v]);
    }
  }
  return component;
}

}  // namespace millrace
