// Shape rules by family; InferOutputs chooses among them. Each sees inputs whose number was checked already.
#ifndef PARTITIONER_GRAPH_SHAPE_RULES_H_
#define PARTITIONER_GRAPH_SHAPE_RULES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/op_desc.h"

namespace millrace {

using TensorSpecs = std::vector<TensorSpec>;

// The question a rule answers.
struct ShapeQuery {
  std::string op;
  const TensorSpecs& inputs;
  const Attributes& attributes;
  int num_outputs;

  const TensorSpec& in(int i) const;  // absent when there are fewer
  bool has(int i) const { return in(i).present(); }
};

// INVALID_ARGUMENT "input 1 (f32[2,3]) ...: <rule>".
absl::Status BadInput(const ShapeQuery& query, int input, const std::string& rule);
absl::Status BadAttribute(const ShapeQuery& query, const std::string& attribute, const std::string& rule);
// Every present input is floating-point and of input 0's type.
absl::Status CheckFloats(const ShapeQuery& query);

// Numpy broadcasting of two shapes; false when they do not fit.
bool Broadcast(const std::vector<int64_t>& a, const std::vector<int64_t>& b, std::vector<int64_t>* out);

absl::StatusOr<TensorSpecs> InferElementwise(const ShapeQuery& query);  // unary, binary, Cast, Dropout, Softmax
absl::StatusOr<TensorSpecs> InferMatrix(const ShapeQuery& query);       // MatMul, Gemm
absl::StatusOr<TensorSpecs> InferNormalisation(const ShapeQuery& query);
absl::StatusOr<TensorSpecs> InferAttention(const ShapeQuery& query);  // Attention, RotaryEmbedding
absl::StatusOr<TensorSpecs> InferGather(const ShapeQuery& query);
absl::StatusOr<TensorSpecs> InferLoss(const ShapeQuery& query);    // both losses
absl::StatusOr<TensorSpecs> InferLayout(const ShapeQuery& query);  // Reshape, Transpose, Split, Concat, Reduce*, Expand

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_SHAPE_RULES_H_
