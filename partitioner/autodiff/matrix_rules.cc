// Y = A B: dA = dY B', dB = A' dY.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/autodiff/rules.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

// The gradient before the activation. Relu, Tanh and Sigmoid need only Y, which the next node keeps anyway.
int ThroughActivation(Tape& tape, const std::string& activation, int dy) {
  if (activation.empty()) return dy;
  const int y = tape.Out(0);
  const TensorSpec spec = tape.Spec(y);
  const std::string name = absl::StrCat("d/", tape.graph().values[y].name, ".pre");
  if (activation == "Relu" || activation == "Tanh" || activation == "Sigmoid") {
    return tape.Emit1(activation + "Grad", {dy, y}, name, spec);
  }
  const int pre = tape.Saved(1, "pre", spec);
  if (activation == "Silu") return tape.Emit1("SiluGrad", {dy, pre}, name, spec);
  Attributes attributes;
  if (activation == "GeluTanh") attributes.SetString("approximate", "tanh");
  return tape.Emit1("GeluGrad", {dy, pre}, name, spec, attributes);
}

std::vector<int64_t> AsMatrix(const TensorSpec& spec) { return {spec.rows(), spec.columns()}; }

Attributes Transposed(const char* which, bool set = true) {
  Attributes attributes;
  if (set) attributes.SetInt(which, 1);
  return attributes;
}

// Shape of X' where X multiplies something batched like y: y's leading dimensions, then rows x columns.
TensorSpec Batched(const TensorSpec& y, int64_t rows, int64_t columns) {
  TensorSpec spec = y;
  spec.dims[spec.dims.size() - 2] = rows;
  spec.dims.back() = columns;
  return spec;
}

// B of two dimensions: all rows of A times B.
void GiveMatrixOperands(Tape& tape, int a, int b, int bias, bool trans_b, int dy) {
  Attributes attributes = Transposed("transB", !trans_b);
  if (tape.IsParameter(b)) attributes.SetInt("packed", 1);
  tape.GiveFrom(a, tape.Spec(a), "FusedMatMul", {dy, b}, attributes);
  if (!tape.Needs(b)) {
    if (bias >= 0) tape.Give(bias, dy);
    return;
  }
  if (tape.IsParameter(b)) {
    const int weight_gradient = tape.Accumulator(b), bias_gradient = tape.Accumulator(bias);
    std::vector<int> outputs = {weight_gradient};
    if (bias_gradient >= 0) outputs.push_back(bias_gradient);
    tape.Emit("MatMulWeightGrad", {a, dy}, outputs, Transposed("transB", trans_b));
    if (bias >= 0 && !tape.IsParameter(bias)) tape.Give(bias, dy);
    return;
  }
  const int rows_a = tape.View(a, AsMatrix(tape.Spec(a))), rows_dy = tape.View(dy, AsMatrix(tape.Spec(dy)));
  const std::vector<int> operands = trans_b ? std::vector<int>{rows_dy, rows_a} : std::vector<int>{rows_a, rows_dy};
  tape.GiveFrom(b, tape.Spec(b), "Gemm", operands, Transposed("transA"));
  if (bias >= 0) tape.Give(bias, dy);
}

absl::Status GiveBatchedOperands(Tape& tape, int a, int b, int bias, bool trans_b, int dy) {
  if (trans_b) return NoGradient(tape, "transB with a batched B");
  const TensorSpec y = tape.Spec(dy), b_spec = tape.Spec(b);
  const int64_t m = y.dims[y.dims.size() - 2], n = y.columns(), k = b_spec.dims[b_spec.dims.size() - 2];
  tape.GiveFrom(a, Batched(y, m, k), "FusedMatMul", {dy, b}, Transposed("transB"));
  tape.GiveFrom(b, Batched(y, k, n), "FusedMatMul", {a, dy}, Transposed("transA"));
  if (bias >= 0) tape.Give(bias, dy);
  return absl::OkStatus();
}

absl::Status MatMulGradient(Tape& tape) {
  const GraphNode node = tape.Forward();
  const int a = tape.In(0), b = tape.In(1), bias = tape.In(2), residual = tape.In(3);
  const bool trans_b = node.attributes.Int("transB", 0) != 0;
  if (node.attributes.Int("transA", 0) != 0) return NoGradient(tape, "transA");
  int dy = tape.Gradient(tape.Out(0));
  if (residual >= 0) tape.Give(residual, dy);
  if (!tape.Needs(a) && !tape.Needs(b) && !tape.Needs(bias)) return absl::OkStatus();
  dy = ThroughActivation(tape, node.attributes.String("activation", ""), dy);
  if (tape.Spec(b).dims.size() > 2) return GiveBatchedOperands(tape, a, b, bias, trans_b, dy);
  GiveMatrixOperands(tape, a, b, bias, trans_b, dy);
  return absl::OkStatus();
}

Attributes GemmAttributes(double alpha, bool trans_a, bool trans_b) {
  Attributes attributes;
  if (alpha != 1) attributes.SetFloat("alpha", alpha);
  if (trans_a) attributes.SetInt("transA", 1);
  if (trans_b) attributes.SetInt("transB", 1);
  return attributes;
}

absl::Status GemmGradient(Tape& tape) {
  const GraphNode node = tape.Forward();
  const int a = tape.In(0), b = tape.In(1), c = tape.In(2), dy = tape.Gradient(tape.Out(0));
  const double alpha = node.attributes.Float("alpha", 1), beta = node.attributes.Float("beta", 1);
  const bool ta = node.attributes.Int("transA", 0) != 0, tb = node.attributes.Int("transB", 0) != 0;
  const TensorSpec a_spec = tape.Spec(a), b_spec = tape.Spec(b), y_spec = tape.Spec(dy);
  if (ta) {
    tape.GiveFrom(a, a_spec, "Gemm", {b, dy}, GemmAttributes(alpha, tb, true));
  } else {
    tape.GiveFrom(a, a_spec, "Gemm", {dy, b}, GemmAttributes(alpha, false, !tb));
  }
  if (tape.IsParameter(b) && tape.Needs(b) && !ta && alpha == 1) {
    tape.Emit("MatMulWeightGrad", {a, dy}, {tape.Accumulator(b)}, Transposed("transB", tb));
  } else if (tb) {
    tape.GiveFrom(b, b_spec, "Gemm", {dy, a}, GemmAttributes(alpha, true, ta));
  } else {
    tape.GiveFrom(b, b_spec, "Gemm", {a, dy}, GemmAttributes(alpha, !ta, false));
  }
  if (!tape.Needs(c)) return absl::OkStatus();
  if (beta == 1) {
    tape.Give(c, dy);
  } else {
    tape.GiveFrom(c, y_spec, "Expand", {dy}, Attributes().SetFloat("scale", beta));
  }
  return absl::OkStatus();
}

}  // namespace

GradientRule MatrixRule(absl::string_view op) {
  if (op == "FusedMatMul" || op == "MatMul") return MatMulGradient;
  return op == "Gemm" ? GemmGradient : nullptr;
}

}  // namespace millrace
