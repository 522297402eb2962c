#include "partitioner/search/graph_chain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "partitioner/autodiff/differentiate.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/cut/linearise.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/catalogue.h"
#include "partitioner/rewrite/rewrite.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kAttentionShare = 0.6, kOtherShare = 0.1;
constexpr double kElementBytes = 2;

double NodeSeconds(const Graph& graph, const GraphNode& node, const PaperDevice& device) {
  if (IsView(graph, node)) return 0;
  const OpDesc desc = graph.Desc(node);
  double rate = device.peak_flops * device.matmul_fraction;
  const OpFamily family = FamilyOf(node.op);
  if (family != OpFamily::kMatmul) rate *= family == OpFamily::kAttention ? kAttentionShare : kOtherShare;
  const double bytes = Bytes(desc) * kElementBytes / 4;  // the graph's are float32
  return device.kernel_seconds + std::max(Flops(desc) / rate, bytes / device.bytes_per_second);
}

class Chaining {
 public:
  Chaining(const Graph& graph, const PaperDevice& device)
      : graph_(graph), device_(device), units_(Linearise(graph, std::vector<NodeCost>(graph.nodes.size()))) {
    pieces_.resize(units_.units.size());
    for (size_t u = 0; u < pieces_.size(); ++u) pieces_[u].name = units_.units[u].last_node;
  }

  std::vector<ChainPiece> Run() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) AddSeconds(static_cast<int>(n));
    AddParameters();
    AddTensors();
    return std::move(pieces_);
  }

 private:
  void AddSeconds(int n) {
    const GraphNode& node = graph_.nodes[n];
    PhaseSeconds& seconds = pieces_[units_.unit_of_node[n]].seconds;
    (node.phase == proto::F   ? seconds.forward
     : node.phase == proto::W ? seconds.backward_weight
                              : seconds.backward_input) += NodeSeconds(graph_, node, device_);
  }

  // A parameter belongs to the first piece that reads it.
  void AddParameters() {
    std::vector<bool> seen(graph_.values.size(), false);
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      for (int v : graph_.nodes[n].inputs) {
        if (v < 0) continue;
        const int root = graph_.Root(v);
        const GraphValue& value = graph_.values[root];
        if (value.kind != GraphValue::Kind::kParameter || seen[root]) continue;
        seen[root] = true;
        if (!graph_.parameters[value.parameter].trainable || graph_.parameters[value.parameter].constant) continue;
        pieces_[units_.unit_of_node[n]].parameters += static_cast<double>(value.spec.elements());
      }
    }
  }

  // Where a tensor is made (an input: first read), the last piece whose F reads it, and whether B or W do.
  struct Use {
    int from = -1, to = -1;
    bool kept = false;
  };

  std::vector<Use> Uses() const {
    std::vector<Use> uses(graph_.values.size());  // by root
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const int piece = units_.unit_of_node[n];
      const bool forward = graph_.nodes[n].phase == proto::F;
      for (int v : graph_.nodes[n].inputs) {
        if (v < 0) continue;
        Use& use = uses[graph_.Root(v)];
        if (forward && use.from < 0) use.from = piece;
        if (forward) use.to = std::max(use.to, piece);
        use.kept |= !forward;
      }
      for (int v : graph_.nodes[n].outputs) {
        if (v < 0 || !forward) continue;
        Use& use = uses[graph_.Root(v)];
        if (use.from < 0) use.from = use.to = piece;
      }
    }
    return uses;
  }

  void AddTensors() {
    const std::vector<Use> uses = Uses();
    for (size_t v = 0; v < uses.size(); ++v) {
      const GraphValue& value = graph_.values[v];
      const bool input = value.kind == GraphValue::Kind::kInput;
      if (uses[v].from < 0 || (!input && value.kind != GraphValue::Kind::kActivation)) continue;
      const double bytes = static_cast<double>(value.spec.elements()) * kElementBytes;
      if (uses[v].kept) pieces_[uses[v].from].stash_bytes += bytes;
      for (int piece = uses[v].from + 1; piece <= uses[v].to; ++piece) {
        if (!input) pieces_[piece - 1].send_bytes += bytes;
        if (uses[v].kept) pieces_[piece].entry_bytes += bytes;
      }
    }
  }

  const Graph& graph_;
  const PaperDevice& device_;
  const Chain units_;
  std::vector<ChainPiece> pieces_;
};

// Kept is what a stage receives.
void RecomputeAll(std::vector<ChainPiece>* pieces) {
  for (size_t u = 0; u < pieces->size(); ++u) {
    ChainPiece& piece = (*pieces)[u];
    piece.seconds.backward_input += piece.seconds.forward;
    piece.moment_bytes += piece.stash_bytes;
    piece.stash_bytes = 0;
    piece.entry_bytes = u == 0 ? 0 : (*pieces)[u - 1].send_bytes;
  }
}

}  // namespace

absl::StatusOr<PaperChain> ChainOf(const proto::Model& model, const PaperDevice& device, int64_t micro_batch,
                                   ActivationRecompute recompute) {
  if (recompute == ActivationRecompute::kSelective) {
    return absl::InvalidArgumentError("selective recomputation is known for transformers only; ask for none or all");
  }
  MR_ASSIGN_OR_RETURN(const Graph checked, BuildGraph(model, micro_batch));
  MR_ASSIGN_OR_RETURN(const Graph rewritten, Rewrite(checked, Mode::kTrain));
  MR_ASSIGN_OR_RETURN(const Graph graph, Differentiate(rewritten));
  PaperChain chain;
  chain.pieces = Chaining(graph, device).Run();
  if (recompute == ActivationRecompute::kFull) RecomputeAll(&chain.pieces);
  return chain;
}

}  // namespace millrace
