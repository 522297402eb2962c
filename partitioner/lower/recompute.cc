#include "partitioner/lower/recompute.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

bool HasSideEffects(const Graph& graph, const GraphNode& node) {
  if (node.op == "LinearCrossEntropy" || node.op == "Accumulate") return true;
  return std::any_of(node.outputs.begin(), node.outputs.end(),
                     [&](int v) { return v >= 0 && graph.values[v].kind == GraphValue::Kind::kAccumulator; });
}

class Recomputer {
 public:
  Recomputer(const std::vector<proto::Phase>& phase, StagedGraph* staged)
      : phase_(phase),
        staged_(*staged),
        graph_(staged->graph),
        copied_(graph_.nodes.size(), false),
        first_copy_(static_cast<int>(graph_.values.size())) {}

  void Run() {
    const int nodes = static_cast<int>(graph_.nodes.size());
    for (int n = 0; n < nodes; ++n) {
      const int stage = staged_.stage_of_node[n];
      if (graph_.nodes[n].phase == proto::F || phase_[stage] == proto::PHASE_UNSPECIFIED) continue;
      for (int v : graph_.nodes[n].inputs) Need(v, stage);
    }
    std::vector<bool> begun(phase_.size(), false);
    for (int n = 0; n < nodes; ++n) {
      const int stage = staged_.stage_of_node[n];
      if (graph_.nodes[n].phase != proto::F && !begun[stage]) {
        begun[stage] = true;
        CopyStage(stage);
      }
      Append(n, -1);
    }
    Renumber();
  }

 private:
  // Marks the forward node of the stage that makes the value, and all that lead to it.
  void Need(int value, int stage) {
    std::vector<int> open = {value};
    while (!open.empty()) {
      const int v = open.back();
      open.pop_back();
      if (v < 0 || graph_.values[v].kind != GraphValue::Kind::kActivation) continue;
      const int n = graph_.values[v].producer;
      if (n < 0 || copied_[n] || staged_.stage_of_node[n] != stage || graph_.nodes[n].phase != proto::F) continue;
      if (HasSideEffects(graph_, graph_.nodes[n])) continue;
      copied_[n] = true;
      for (int input : graph_.nodes[n].inputs) open.push_back(input);
    }
  }

  void CopyStage(int stage) {
    for (int n = 0; n < static_cast<int>(copied_.size()); ++n) {
      if (!copied_[n] || staged_.stage_of_node[n] != stage) continue;
      for (int v : graph_.nodes[n].outputs) {
        if (v < 0) continue;
        GraphValue again = graph_.values[v];
        again.name = absl::StrCat("again/", again.name);
        if (again.alias_of >= 0) again.alias_of = Again(again.alias_of);
        again_.emplace(v, static_cast<int>(graph_.values.size()));
        graph_.values.push_back(std::move(again));
      }
      Append(n, stage);
    }
  }

  int Again(int value) const {
    const auto found = again_.find(value);
    return found == again_.end() ? value : found->second;
  }

  // Of a copy, `stage` is its stage; -1: the node itself.
  void Append(int n, int stage) {
    GraphNode node = graph_.nodes[n];
    if (stage >= 0) {
      node.name = absl::StrCat("again/", node.name);
      node.phase = phase_[stage];
      for (int& v : node.outputs) v = v < 0 ? v : again_.at(v);
    } else {
      new_index_.push_back(static_cast<int>(nodes_.size()));
    }
    // A copy and a backward node of the stage read copies; backward nodes of other stages what they always read.
    const int reader = staged_.stage_of_node[n];
    if (node.phase != proto::F) {
      for (int& v : node.inputs) {
        const auto found = v < 0 ? again_.end() : again_.find(v);
        if (found != again_.end() && staged_.stage_of_node[graph_.values[v].producer] == reader) v = found->second;
      }
    }
    stages_.push_back(reader);
    nodes_.push_back(std::move(node));
  }

  void Renumber() {
    for (GraphNode& node : nodes_) {
      if (node.forward_node >= 0) node.forward_node = new_index_[node.forward_node];
      if (node.unit >= 0) node.unit = new_index_[node.unit];
    }
    for (GraphValue& value : graph_.values) {
      if (value.producer >= 0) value.producer = new_index_[value.producer];
      value.consumers.clear();
    }
    for (int n = 0; n < static_cast<int>(nodes_.size()); ++n) {
      for (int v : nodes_[n].inputs) {
        if (v >= 0) graph_.values[v].consumers.push_back(n);
      }
      for (int v : nodes_[n].outputs) {
        if (v >= first_copy_) graph_.values[v].producer = n;
      }
    }
    graph_.nodes = std::move(nodes_);
    staged_.stage_of_node = std::move(stages_);
  }

  const std::vector<proto::Phase>& phase_;
  StagedGraph& staged_;
  Graph& graph_;
  std::vector<bool> copied_;             // by node
  const int first_copy_;                 // value
  absl::flat_hash_map<int, int> again_;  // value -> its copy
  std::vector<GraphNode> nodes_;         // the result
  std::vector<int> stages_, new_index_;  // by new node; by old node
};

}  // namespace

void Recompute(const std::vector<proto::Phase>& phase, StagedGraph* staged) {
  if (std::all_of(phase.begin(), phase.end(), [](proto::Phase p) { return p == proto::PHASE_UNSPECIFIED; })) return;
  Recomputer(phase, staged).Run();
}

}  // namespace millrace
