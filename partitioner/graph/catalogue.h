// What the partitioner knows of every operator of docs/operators.md: arity, attributes, shapes, work, gradient or not.
#ifndef PARTITIONER_GRAPH_CATALOGUE_H_
#define PARTITIONER_GRAPH_CATALOGUE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"

namespace millrace {

// One operator. Counts are of the positions that may be given; inputs at or after `required_inputs` may be absent.
struct OpEntry {
  std::string name;
  int required_inputs = 1;
  int max_inputs = 1;  // Concat: many
  int required_outputs = 1;
  int max_outputs = 1;
  // Attributes with their kinds: "axis:i", "epsilon:f", "activation:s", "axes:I" (ints), "random_key:u".
  std::vector<std::string> attributes;
  bool submitted = true;       // may stand in a user's graph; the others are made by rewrite and autodiff
  bool view = false;           // outputs are the same bytes as input 0
  bool random = false;         // depends on the step's random key
  bool differentiable = true;  // autodiff has a rule for it
};

// nullptr when there is no such operator. The entry lives for ever.
const OpEntry* FindOp(absl::string_view op);
// All names, sorted.
std::vector<std::string> OpNames();
// The known name nearest to a misspelt one, "" when none is near.
std::string NearestOp(absl::string_view op);

// Types and shapes of the outputs of a submitted operator, `num_outputs` of them (absent optional ones included).
// INVALID_ARGUMENT names the input or attribute at fault, what it is and what it must be. Inputs must be concrete, of
// at most 2^40 elements each; the caller checks the size of what comes out.
absl::StatusOr<std::vector<TensorSpec>> InferOutputs(absl::string_view op, const std::vector<TensorSpec>& inputs,
                                                     const Attributes& attributes, int num_outputs);

// Floating-point operations of one call, any operator (a multiplication and an addition count as two). Attention with
// is_causal counts the half that is computed. 0 for views and copies.
double Flops(const OpDesc& desc);
// Memory traffic of one call: every operand read or written once, accumulators twice. 0 for views.
double Bytes(const OpDesc& desc);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_CATALOGUE_H_
