#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

// What is left of a value's uses, and the name under which the next use reads it.
struct Uses {
  int left = 0;
  int forks = 0;
  int current = -1;
};

class Forker {
 public:
  explicit Forker(Graph graph) : graph_(std::move(graph)), uses_(graph_.values.size()) {
    for (int v = 0; v < static_cast<int>(uses_.size()); ++v) {
      const GraphValue& value = graph_.values[v];
      names_.insert(value.name);
      // Inputs and integers have no gradient, parameters an accumulator per use: neither needs a Fork.
      const bool forks = value.kind == GraphValue::Kind::kActivation && IsFloat(value.spec.dtype);
      uses_[v] = {forks ? static_cast<int>(value.consumers.size()) : 0, 0, v};
    }
  }

  Graph Run() {
    std::vector<GraphNode> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    std::vector<int> units;
    for (GraphNode& node : old) {
      const int unit = graph_.nodes.size();
      for (int& v : node.inputs) {
        if (v >= 0 && v < static_cast<int>(uses_.size())) v = Use(v);
      }
      graph_.nodes.push_back(std::move(node));
      units.resize(graph_.nodes.size(), unit);
    }
    graph_ = Tidy(std::move(graph_));
    for (int n = 0; n < static_cast<int>(units.size()); ++n) graph_.nodes[n].unit = units[n];
    return std::move(graph_);
  }

 private:
  int Use(int value) {
    Uses& uses = uses_[value];
    if (uses.left <= 1) return uses.current;
    GraphNode fork;
    fork.name = absl::StrCat(graph_.values[value].name, "/fork", uses.forks++);
    fork.op = "Fork";
    fork.inputs = {uses.current};
    for (const char* side : {".0", ".1"}) {
      GraphValue part;
      part.name = absl::StrCat(fork.name, side);
      while (!names_.insert(part.name).second) part.name += "'";
      part.spec = graph_.values[value].spec;
      part.alias_of = uses.current;
      fork.outputs.push_back(graph_.values.size());
      graph_.values.push_back(std::move(part));
    }
    --uses.left;
    uses.current = fork.outputs[1];
    const int first = fork.outputs[0];
    graph_.nodes.push_back(std::move(fork));
    return first;
  }

  Graph graph_;
  std::vector<Uses> uses_;
  absl::flat_hash_set<std::string> names_;
};

}  // namespace

Graph InsertForks(Graph graph) { return Forker(std::move(graph)).Run(); }

}  // namespace millrace
