// Gradient rules, by family. A rule reads the gradients of its forward node's outputs (at least one has arrived, but
// for losses) and gives gradients to the inputs that need them.
#ifndef PARTITIONER_AUTODIFF_RULES_H_
#define PARTITIONER_AUTODIFF_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "partitioner/autodiff/tape.h"

namespace millrace {

using GradientRule = absl::Status (*)(Tape&);

// nullptr when the family does not have the operator.
GradientRule MatrixRule(absl::string_view op);       // FusedMatMul, MatMul, Gemm
GradientRule ElementwiseRule(absl::string_view op);  // one output element per input element, and Softmax
GradientRule LayerRule(absl::string_view op);        // normalisation, attention, tables
GradientRule LossRule(absl::string_view op);
GradientRule LayoutRule(absl::string_view op);  // Reshape, Transpose, Split, Concat, Reduce*, Expand, Fork

// INVALID_ARGUMENT: the forward node wants a gradient that no kernel computes.
absl::Status NoGradient(const Tape& tape, const std::string& why);

}  // namespace millrace

#endif  // PARTITIONER_AUTODIFF_RULES_H_
