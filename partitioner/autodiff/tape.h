// What the gradient rules write with: appends backward nodes to a graph and keeps the gradient of each value.
#ifndef PARTITIONER_AUTODIFF_TAPE_H_
#define PARTITIONER_AUTODIFF_TAPE_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// One forward node at a time, in reverse order: Begin(node), then the node's rule. References to nodes and values of
// the graph do not survive a call that adds some.
class Tape {
 public:
  explicit Tape(Graph graph);

  const Graph& graph() const { return graph_; }
  const TensorSpec& Spec(int value) const { return graph_.values[value].spec; }
  bool IsParameter(int value) const;

  void Begin(int forward_node) { forward_node_ = forward_node; }
  // A copy, because rules add nodes while they read it.
  GraphNode Forward() const { return graph_.nodes[forward_node_]; }
  // Input or output i of the forward node, -1 when absent.
  int In(int i) const;
  int Out(int i) const;

  // Is the gradient of this value wanted: does it depend on a trainable parameter?
  bool Needs(int value) const { return value >= 0 && needs_[value]; }
  // The gradient that has arrived, -1: none.
  int Gradient(int value) const { return value < 0 ? -1 : gradient_[value]; }

  // Output i of the forward node, which its gradient needs: added to the node where it is absent.
  int Saved(int i, const std::string& suffix, const TensorSpec& spec);
  // Sets output i of the forward node itself (LinearCrossEntropy makes gradients in F).
  void SetOutput(int i, int value);

  // A new activation, to be written by the next Emit.
  int New(const std::string& name, const TensorSpec& spec);
  // "d/<name of value>", shaped like `spec`.
  int NewGradient(int value, const TensorSpec& spec);
  // Where this forward node's share of a parameter's gradient is added up; -1 when it is not wanted.
  int Accumulator(int parameter_value);

  // Appends a backward node of the current forward node.
  void Emit(const std::string& op, std::vector<int> inputs, std::vector<int> outputs,
            const Attributes& attributes = {});
  // Appends a backward node with one new result and returns that.
  int Emit1(const std::string& op, std::vector<int> inputs, const std::string& name, const TensorSpec& spec,
            const Attributes& attributes = {});
  // A view of `value` with other dimensions; the value itself when they are the same.
  int View(int value, const std::vector<int64_t>& dims);

  // Adds `gradient` to the gradient of `value`, summed down to its shape where broadcasting had repeated it; into the
  // accumulator when it is a parameter. Does nothing where the gradient is not wanted.
  void Give(int value, int gradient);
  // Emit1 of a gradient of `value`, then Give. Does nothing, and emits nothing, where it is not wanted.
  void GiveFrom(int value, const TensorSpec& spec, const std::string& op, std::vector<int> inputs,
                const Attributes& attributes = {});

  // Accumulators sorted, phases and indices set. The tape is spent.
  Graph Finish();

 private:
  std::string Unique(std::string name);
  void SetPhases();

  Graph graph_;
  std::vector<bool> needs_;    // by value; gradients themselves need none
  std::vector<int> gradient_;  // by value
  std::vector<int> place_of_;  // by value: forward node of an accumulator
  absl::flat_hash_set<std::string> names_;
  absl::flat_hash_set<std::string> node_names_;
  int forward_node_ = -1;
};

}  // namespace millrace

#endif  // PARTITIONER_AUTODIFF_TAPE_H_
