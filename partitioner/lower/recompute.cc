#include "partitioner/lower/recompute.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "partitioner/lower/segments.h"

namespace millrace {
namespace {

bool HasSideEffects(const Graph& graph, const GraphNode& node) {
  if (node.op == "LinearCrossEntropy" || node.op == "Accumulate") return true;
  return std::any_of(node.outputs.begin(), node.outputs.end(),
                     [&](int v) { return v >= 0 && graph.values[v].kind == GraphValue::Kind::kAccumulator; });
}

class Recomputer {
 public:
  Recomputer(const std::vector<StageRecompute>& stages, StagedGraph* staged)
      : of_stage_(stages),
        staged_(*staged),
        graph_(staged->graph),
        copied_(graph_.nodes.size(), false),
        kept_(graph_.values.size(), false),
        segment_of_(graph_.nodes.size(), -1),
        first_copy_(static_cast<int>(graph_.values.size())) {}

  void Run() {
    const int nodes = static_cast<int>(graph_.nodes.size());
    FindCopied();
    Divide();
    FindCopied();
    std::vector<std::vector<int>> segments = NodesOfSegments();
    for (int n = 0; n < nodes; ++n) {
      for (int segment : SegmentsRead(n)) {
        CopySegment(segments[segment]);
        segments[segment].clear();
      }
      Append(n, false);
    }
    Renumber();
  }

 private:
  bool IsForwardOf(int node, int stage) const {
    return staged_.stage_of_node[node] == stage && graph_.nodes[node].phase == proto::F;
  }

  // Marks what the backward nodes need made again, given what is kept.
  void FindCopied() {
    copied_.assign(graph_.nodes.size(), false);
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const int stage = staged_.stage_of_node[n];
      if (graph_.nodes[n].phase == proto::F || of_stage_[stage].phase == proto::PHASE_UNSPECIFIED) continue;
      for (int v : graph_.nodes[n].inputs) Need(v, stage);
    }
  }

  // Marks the forward node of the stage that makes the value, and all that lead to it.
  void Need(int value, int stage) {
    std::vector<int> open = {value};
    while (!open.empty()) {
      const int v = open.back();
      open.pop_back();
      if (v < 0 || graph_.values[v].kind != GraphValue::Kind::kActivation || kept_[graph_.Root(v)]) continue;
      const int n = graph_.values[v].producer;
      if (n < 0 || copied_[n] || !IsForwardOf(n, stage) || HasSideEffects(graph_, graph_.nodes[n])) continue;
      copied_[n] = true;
      for (int input : graph_.nodes[n].inputs) open.push_back(input);
    }
  }

  // Gives every node that is copied its segment, and marks what crosses from one to the next.
  void Divide() {
    std::vector<std::vector<int>> nodes(of_stage_.size());
    for (size_t n = 0; n < copied_.size(); ++n) {
      if (copied_[n]) nodes[staged_.stage_of_node[n]].push_back(static_cast<int>(n));
    }
    for (size_t stage = 0; stage < nodes.size(); ++stage) {
      const StageRecompute& asked = of_stage_[stage];
      const int segments = asked.phase == proto::R ? 1 : asked.segments;
      const Segments divided = DivideForward(graph_, nodes[stage], segments, asked.in_flight);
      for (int root : divided.kept) kept_[root] = true;
      for (size_t i = 0, s = 0; i < nodes[stage].size(); ++i) {
        while (s + 1 < divided.first.size() && divided.first[s + 1] <= static_cast<int>(i)) ++s;
        segment_of_[nodes[stage][i]] = segments_ + static_cast<int>(s);
      }
      segments_ += static_cast<int>(divided.first.size());
    }
  }

  std::vector<std::vector<int>> NodesOfSegments() const {
    std::vector<std::vector<int>> segments(segments_);
    for (size_t n = 0; n < copied_.size(); ++n) {
      if (copied_[n]) segments[segment_of_[n]].push_back(static_cast<int>(n));
    }
    return segments;
  }

  // Of what a backward node reads. All of its stage's where the copies are an R, whose nodes come first.
  std::vector<int> SegmentsRead(int node) const {
    std::vector<int> segments;
    if (graph_.nodes[node].phase == proto::F) return segments;
    const int stage = staged_.stage_of_node[node];
    for (int v : graph_.nodes[node].inputs) {
      const int producer = v < 0 || kept_[graph_.Root(v)] ? -1 : graph_.values[v].producer;
      if (producer >= 0 && copied_[producer] && IsForwardOf(producer, stage)) {
        segments.push_back(segment_of_[producer]);
      }
    }
    std::sort(segments.begin(), segments.end());
    return segments;
  }

  void CopySegment(const std::vector<int>& nodes) {
    for (int n : nodes) {
      for (int v : graph_.nodes[n].outputs) {
        if (v < 0) continue;
        GraphValue again = graph_.values[v];
        again.name = absl::StrCat("again/", again.name);
        if (again.alias_of >= 0) again.alias_of = Again(again.alias_of);
        again_.emplace(v, static_cast<int>(graph_.values.size()));
        graph_.values.push_back(std::move(again));
      }
      Append(n, true);
    }
  }

  // The value that a copy or a backward node reads: what is kept is not made again, even where its node is copied for
  // another of its results.
  int Again(int value) const {
    if (value < 0 || (value < first_copy_ && kept_[graph_.Root(value)])) return value;
    const auto found = again_.find(value);
    return found == again_.end() ? value : found->second;
  }

  void Append(int n, bool copy) {
    GraphNode node = graph_.nodes[n];
    const int reader = staged_.stage_of_node[n];
    if (copy) {
      node.name = absl::StrCat("again/", node.name);
      node.phase = of_stage_[reader].phase;
      for (int& v : node.outputs) v = v < 0 ? v : again_.at(v);
    } else {
      new_index_.push_back(static_cast<int>(nodes_.size()));
    }
    // A copy and a backward node of the stage read copies; backward nodes of other stages what they always read.
    if (node.phase != proto::F) {
      for (int& v : node.inputs) {
        const int again = Again(v);
        if (again != v && staged_.stage_of_node[graph_.values[v].producer] == reader) v = again;
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

  const std::vector<StageRecompute>& of_stage_;
  StagedGraph& staged_;
  Graph& graph_;
  std::vector<bool> copied_;             // by node
  std::vector<bool> kept_;               // by root value
  std::vector<int> segment_of_;          // by node that is copied; segments of all stages are numbered together
  int segments_ = 0;                     // of all stages
  const int first_copy_;                 // value
  absl::flat_hash_map<int, int> again_;  // value -> its copy
  std::vector<GraphNode> nodes_;         // the result
  std::vector<int> stages_, new_index_;  // by new node; by old node
};

}  // namespace

void Recompute(const std::vector<StageRecompute>& stages, StagedGraph* staged) {
  if (std::all_of(stages.begin(), stages.end(),
                  [](const StageRecompute& s) { return s.phase == proto::PHASE_UNSPECIFIED; })) {
    return;
  }
  Recomputer(stages, staged).Run();
}

}  // namespace millrace
