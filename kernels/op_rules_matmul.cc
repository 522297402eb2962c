// Rules of the matrix-multiplication family and the losses.
#include "kernels/op_rule_table.h"

namespace millrace::op_rules {
namespace {

// A' [..., M, K] times B' [..., K, N]; false when the shapes do not multiply.
bool ProductDims(const TensorSpec& a, const TensorSpec& b, bool trans_a, bool trans_b, std::vector<int64_t>* out) {
  if (a.dims.size() < 1 || b.dims.size() < 2) return false;
  if (b.dims.size() == 2 && !trans_a) {  // all rows of A
    const int64_t k = b.dims[trans_b ? 1 : 0], n = b.dims[trans_b ? 0 : 1];
    if (a.dims.back() != k) return false;
    *out = a.dims;
    out->back() = n;
    return true;
  }
  if (a.dims.size() < 2) return false;
  const size_t ra = a.dims.size(), rb = b.dims.size();
  const int64_t m = a.dims[trans_a ? ra - 1 : ra - 2], k = a.dims[trans_a ? ra - 2 : ra - 1];
  const int64_t kb = b.dims[trans_b ? rb - 1 : rb - 2], n = b.dims[trans_b ? rb - 2 : rb - 1];
  if (k != kb) return false;
  const std::vector<int64_t> lead_a(a.dims.begin(), a.dims.end() - 2), lead_b(b.dims.begin(), b.dims.end() - 2);
  if (!BroadcastDims(lead_a, lead_b, out)) return false;
  out->push_back(m);
  out->push_back(n);
  return true;
}

bool SameFloats(OpCheck& c, const OpDesc& d, std::initializer_list<int> inputs) {
  const DType dtype = d.input(*inputs.begin()).dtype;
  for (int i : inputs) {
    if (!d.input(i).present()) continue;
    c.Demand(IsFloat(d.input(i).dtype) && d.input(i).dtype == dtype,
             absl::StrCat("input ", i, " is ", d.input(i).ToString(), ": floats of one type are needed"));
  }
  return c.ok();
}

void FusedMatMulRule(const OpDesc& d, OpCheck& c, int most_inputs, int most_outputs) {
  if (!c.Inputs(2, most_inputs) || !c.Outputs(1, most_outputs) || !SameFloats(c, d, {0, 1, 2, 3})) return;
  std::vector<int64_t> dims;
  const bool multiply = ProductDims(d.input(0), d.input(1), d.attributes.Int("transA", 0) != 0,
                                    d.attributes.Int("transB", 0) != 0, &dims);
  if (!c.Demand(multiply, absl::StrCat(d.input(0).ToString(), " and ", d.input(1).ToString(), " do not multiply")))
    return;
  const DType dtype = d.input(0).dtype;
  c.InputIs(2, dtype, {dims.back()});
  c.InputIs(3, dtype, dims);
  c.OutputIs(0, dtype, dims);
  c.OutputIs(1, dtype, dims);
}

void FusedMatMul(const OpDesc& d, OpCheck& c) {
  FusedMatMulRule(d, c, 4, 2);
  const std::string activation = d.attributes.String("activation", "");
  bool known = activation.empty();
  for (absl::string_view name : {"Relu", "Gelu", "GeluTanh", "Silu", "Tanh", "Sigmoid"}) known |= activation == name;
  c.Demand(known, absl::StrCat("unknown activation '", activation, "'"));
  c.Demand(!d.output(1).present() || !activation.empty(), "output 1 (pre) without an activation");
  c.Demand(d.attributes.Int("transA", 0) == 0 || d.input(1).dims.size() > 2,
           "transA=1 needs a B of 3 or more dimensions");
  c.Demand(d.attributes.Int("packed", 0) == 0 || d.input(1).dims.size() == 2, "packed=1 needs a B of 2 dimensions");
}

void MatMul(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1)) return;
  c.Demand(d.attributes.Int("transA", 0) == 0 && d.attributes.Int("transB", 0) == 0,
           "MatMul does not transpose; FusedMatMul does");
  c.Demand(d.input(0).dims.size() >= 2, "input 0 needs 2 dimensions or more");
  FusedMatMulRule(d, c, 2, 1);
}

void Gemm(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 3) || !c.Outputs(1, 1) || !SameFloats(c, d, {0, 1, 2})) return;
  if (!c.Demand(d.input(0).dims.size() == 2 && d.input(1).dims.size() == 2, "A and B need 2 dimensions")) return;
  const bool ta = d.attributes.Int("transA", 0) != 0, tb = d.attributes.Int("transB", 0) != 0;
  const auto& a = d.input(0).dims;
  const auto& b = d.input(1).dims;
  if (!c.Demand(a[ta ? 0 : 1] == b[tb ? 1 : 0],
                absl::StrCat(d.input(0).ToString(), " and ", d.input(1).ToString(), " do not multiply"))) {
    return;
  }
  const std::vector<int64_t> dims = {a[ta ? 1 : 0], b[tb ? 0 : 1]};
  c.OutputIs(0, d.input(0).dtype, dims);
  if (d.input(2).present()) {
    c.Demand(BroadcastsTo(d.input(2).dims, dims),
             absl::StrCat("input 2, ", d.input(2).ToString(), ", does not broadcast to Y"));
  }
}

void MatMulWeightGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 2) || !SameFloats(c, d, {0, 1})) return;
  if (!c.Demand(!d.input(0).dims.empty() && !d.input(1).dims.empty() && d.input(0).rows() == d.input(1).rows(),
                "A and dY need equally many rows")) {
    return;
  }
  const int64_t k = d.input(0).columns(), n = d.input(1).columns();
  const DType sum = AccumulatorOf(d.input(0).dtype);
  c.OutputIs(0, sum, d.attributes.Int("transB", 0) != 0 ? std::vector<int64_t>{n, k} : std::vector<int64_t>{k, n});
  c.OutputIs(1, sum, {n});
}

bool LabelsFit(OpCheck& c, const TensorSpec& scores, const TensorSpec& labels) {
  if (!c.Demand(!scores.dims.empty() && IsFloat(scores.dtype), "scores must be floats with a class dimension"))
    return false;
  const TensorSpec wanted{proto::I64, {scores.dims.begin(), scores.dims.end() - 1}};
  return c.Demand(labels == wanted, absl::StrCat("labels are ", labels.ToString(), " and must be ", wanted.ToString()));
}

void SoftmaxCrossEntropyLoss(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 2) || !LabelsFit(c, d.input(0), d.input(1))) return;
  c.OutputIs(0, proto::F64, {});
  c.OutputIs(1, proto::F64, {});
}

void SoftmaxCrossEntropyLossGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1) || !LabelsFit(c, d.input(0), d.input(1))) return;
  c.OutputIs(0, d.input(0).dtype, d.input(0).dims);
}

void LinearCrossEntropy(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(3, 3) || !c.Outputs(2, 4) || !LabelsFit(c, d.input(0), d.input(2)) || !SameFloats(c, d, {0, 1})) return;
  const TensorSpec& weight = d.input(1);
  if (!c.Demand(weight.dims.size() == 2, "Weight needs 2 dimensions")) return;
  const bool trans = d.attributes.Int("transB", 1) != 0;
  c.Demand(weight.dims[trans ? 1 : 0] == d.input(0).columns(),
           absl::StrCat("X is ", d.input(0).ToString(), " and Weight ", weight.ToString()));
  c.OutputIs(0, proto::F64, {});
  c.OutputIs(1, proto::F64, {});
  c.OutputIs(2, d.input(0).dtype, d.input(0).dims);
  c.OutputIs(3, AccumulatorOf(weight.dtype), weight.dims);
}

}  // namespace

const std::vector<Rule>& MatMulRules() {
  static const auto* const rules = new std::vector<Rule>{
      {"MatMul", MatMul},
      {"Gemm", Gemm},
      {"FusedMatMul", FusedMatMul},
      {"MatMulWeightGrad", MatMulWeightGrad},
      {"SoftmaxCrossEntropyLoss", SoftmaxCrossEntropyLoss},
      {"SoftmaxCrossEntropyLossGrad", SoftmaxCrossEntropyLossGrad},
      {"LinearCrossEntropy", LinearCrossEntropy},
  };
  return *rules;
}

}  // namespace millrace::op_rules
