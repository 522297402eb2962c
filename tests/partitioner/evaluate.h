// Runs a Graph node by node on a device: what a graph means, without plan or worker. For tests.
#ifndef TESTS_PARTITIONER_EVALUATE_H_
#define TESTS_PARTITIONER_EVALUATE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "partitioner/graph/graph.h"
#include "proto/model.pb.h"

namespace millrace {

// The same model with F64 wherever it had F32.
proto::Model InDouble(const proto::Model& model);

// Kernels are prepared once; Run may be called many times. The graph is copied, the device must outlive this.
class Evaluator {
 public:
  static absl::StatusOr<Evaluator> Make(const Graph& graph, Device* device);

  // Parameters get small random values that depend on their names (constants: what their initialisers say), inputs
  // too (integers: below `vocabulary`), so that two graphs of one model see the same numbers.
  void Fill(int64_t vocabulary);

  // Element-wise access; integers and floats alike as double. Values by their names in the graph.
  std::vector<double> Get(const std::string& name) const;
  void Set(const std::string& name, const std::vector<double>& elements);
  bool Has(const std::string& name) const { return Find(name) >= 0; }

  // Zeroes the accumulators, then runs all nodes in order.
  absl::Status Run();
  double Loss() const;
  // Sum over the places of use.
  std::vector<double> ParameterGradient(int parameter) const;

  const Graph& graph() const { return graph_; }

 private:
  Evaluator(const Graph& graph, std::unique_ptr<Stream> stream) : graph_(graph), stream_(std::move(stream)) {}
  int Find(const std::string& name) const;

  struct Call {
    std::unique_ptr<Kernel> kernel;
    std::vector<void*> inputs, outputs;
    std::vector<char> scratch, packed;
  };
  Graph graph_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::vector<double>> memory_;  // by value; empty for aliases. Doubles, for their alignment
  std::vector<Call> calls_;
};

}  // namespace millrace

#endif  // TESTS_PARTITIONER_EVALUATE_H_
