// Rules of elementwise operators, normalisation and the optimizer.
#include "kernels/op_rule_table.h"

namespace millrace::op_rules {
namespace {

bool Float(OpCheck& c, const TensorSpec& spec, absl::string_view which) {
  return c.Demand(IsFloat(spec.dtype), absl::StrCat(which, " is ", spec.ToString(), ": floats are needed"));
}

void Unary(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  if (d.op != "Identity" && !Float(c, d.input(0), "input 0")) return;
  c.OutputIs(0, d.input(0).dtype, d.input(0).dims);
}

void Gelu(const OpDesc& d, OpCheck& c) {
  Unary(d, c);
  const std::string a = d.attributes.String("approximate", "none");
  c.Demand(a == "none" || a == "tanh", absl::StrCat("approximate='", a, "' must be none or tanh"));
}

void UnaryGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1) || !Float(c, d.input(0), "input 0")) return;
  c.InputIs(1, d.input(0).dtype, d.input(0).dims);
  c.OutputIs(0, d.input(0).dtype, d.input(0).dims);
  const std::string a = d.attributes.String("approximate", "none");
  c.Demand(a == "none" || a == "tanh", absl::StrCat("approximate='", a, "' must be none or tanh"));
}

void Binary(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 1)) return;
  c.Demand(d.input(0).dtype == d.input(1).dtype,
           absl::StrCat("types differ: ", d.input(0).ToString(), " and ", d.input(1).ToString()));
  std::vector<int64_t> dims;
  if (!c.Demand(BroadcastDims(d.input(0).dims, d.input(1).dims, &dims),
                absl::StrCat(d.input(0).ToString(), " and ", d.input(1).ToString(), " do not broadcast"))) {
    return;
  }
  c.OutputIs(0, d.input(0).dtype, dims);
}

void Dropout(const OpDesc& d, OpCheck& c) {
  Unary(d, c);
  const double ratio = d.attributes.Float("ratio", 0.5);
  c.Demand(ratio >= 0 && ratio < 1, absl::StrCat("ratio=", ratio, " must be in [0, 1)"));
}

void Cast(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1)) return;
  for (const TensorSpec* spec : {&d.input(0), &d.output(0)}) {
    const DType t = spec->dtype;
    c.Demand(IsFloat(t) || t == proto::I32 || t == proto::I64,
             absl::StrCat(spec->ToString(), ": Cast knows f32, f64, bf16, f16, i32, i64"));
  }
  c.Demand(d.attributes.Int("to", d.output(0).dtype) == d.output(0).dtype, "attribute to is not the output's type");
  c.OutputIs(0, d.output(0).dtype, d.input(0).dims);
}

void Accumulate(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1) || !Float(c, d.input(0), "input 0")) return;
  c.OutputIs(0, AccumulatorOf(d.input(0).dtype), d.input(0).dims);
}

bool LastAxis(const OpDesc& d, OpCheck& c, const TensorSpec& x) {
  const int64_t axis = d.attributes.Int("axis", -1), rank = static_cast<int64_t>(x.dims.size());
  return c.Demand(rank > 0 && (axis == -1 || axis == rank - 1), absl::StrCat("axis=", axis, " must be the last"));
}

bool Epsilon(const OpDesc& d, OpCheck& c) {
  const double epsilon = d.attributes.Float("epsilon", 1e-5);
  return c.Demand(epsilon >= 0 && epsilon < 1, absl::StrCat("epsilon=", epsilon, " must be in [0, 1)"));
}

// [..., 1] of x; statistics are f32, or f64 when x is.
TensorSpec RowStatistic(const TensorSpec& x) {
  TensorSpec spec{AccumulatorOf(x.dtype), x.dims};
  spec.dims.back() = 1;
  return spec;
}

void LayerNormalization(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 3) || !c.Outputs(1, 3)) return;
  const TensorSpec& x = d.input(0);
  if (!Float(c, x, "input 0") || !LastAxis(d, c, x) || !Epsilon(d, c)) return;
  const TensorSpec row = RowStatistic(x);
  c.InputIs(1, x.dtype, {x.columns()});
  c.InputIs(2, x.dtype, {x.columns()});
  c.OutputIs(0, x.dtype, x.dims);
  c.OutputIs(1, row.dtype, row.dims);
  c.OutputIs(2, row.dtype, row.dims);
}

void LayerNormalizationGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(5, 5) || !c.Outputs(1, 3)) return;
  const TensorSpec& x = d.input(1);
  if (!Float(c, x, "input 1") || !LastAxis(d, c, x) || !Epsilon(d, c)) return;
  const TensorSpec row = RowStatistic(x);
  c.InputIs(0, x.dtype, x.dims);
  c.InputIs(2, x.dtype, {x.columns()});
  c.InputIs(3, row.dtype, row.dims);
  c.InputIs(4, row.dtype, row.dims);
  c.OutputIs(0, x.dtype, x.dims);
  c.OutputIs(1, AccumulatorOf(x.dtype), {x.columns()});
  c.OutputIs(2, AccumulatorOf(x.dtype), {x.columns()});
}

void RmsNormalization(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(2, 2) || !c.Outputs(1, 2)) return;
  const TensorSpec& x = d.input(0);
  if (!Float(c, x, "input 0") || !LastAxis(d, c, x) || !Epsilon(d, c)) return;
  const TensorSpec row = RowStatistic(x);
  c.InputIs(1, x.dtype, {x.columns()});
  c.OutputIs(0, x.dtype, x.dims);
  c.OutputIs(1, row.dtype, row.dims);
}

void RmsNormalizationGrad(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(4, 4) || !c.Outputs(1, 2)) return;
  const TensorSpec& x = d.input(1);
  if (!Float(c, x, "input 1") || !LastAxis(d, c, x) || !Epsilon(d, c)) return;
  const TensorSpec row = RowStatistic(x);
  c.InputIs(0, x.dtype, x.dims);
  c.InputIs(2, x.dtype, {x.columns()});
  c.InputIs(3, row.dtype, row.dims);
  c.OutputIs(0, x.dtype, x.dims);
  c.OutputIs(1, AccumulatorOf(x.dtype), {x.columns()});
}

// hyper, then tensors of the parameter's size; one more, the master, of parameters in 16 bits.
void Optimizer(const OpDesc& d, OpCheck& c, int outputs) {
  if (!c.Inputs(1, 1) || !c.Outputs(outputs, outputs + (IsHalf(d.output(0).dtype) ? 1 : 0))) return;
  c.InputIs(0, proto::F64, {10});
  if (!Float(c, d.output(0), "output 0")) return;
  outputs = static_cast<int>(d.outputs.size());
  const TensorSpec wanted{AccumulatorOf(d.output(0).dtype), d.output(0).dims};
  for (int i = 1; i < outputs; ++i) c.OutputIs(i, wanted.dtype, wanted.dims);
}

void AdamW(const OpDesc& d, OpCheck& c) { Optimizer(d, c, 4); }
void SgdMomentum(const OpDesc& d, OpCheck& c) { Optimizer(d, c, 3); }

void SquaredSums(const OpDesc& d, OpCheck& c) {
  if (!c.Inputs(1, 1) || !c.Outputs(1, 1) || !Float(c, d.input(0), "input 0")) return;
  const int64_t block = d.attributes.Int("block", 0);
  if (!c.Demand(block > 0, absl::StrCat("block=", block, " must be positive"))) return;
  const int64_t n = d.input(0).elements();
  c.OutputIs(0, proto::F64, {n / block + (n % block != 0)});
}

}  // namespace

const std::vector<Rule>& ElementwiseRules() {
  static const auto* const rules = new std::vector<Rule>{
      {"Add", Binary},
      {"Sub", Binary},
      {"Mul", Binary},
      {"Div", Binary},
      {"Neg", Unary},
      {"Relu", Unary},
      {"Tanh", Unary},
      {"Sigmoid", Unary},
      {"Silu", Unary},
      {"Identity", Unary},
      {"Gelu", Gelu},
      {"ReluGrad", UnaryGrad},
      {"SiluGrad", UnaryGrad},
      {"GeluGrad", UnaryGrad},
      {"TanhGrad", UnaryGrad},
      {"SigmoidGrad", UnaryGrad},
      {"Dropout", Dropout},
      {"Cast", Cast},
      {"Accumulate", Accumulate},
      {"LayerNormalization", LayerNormalization},
      {"LayerNormalizationGrad", LayerNormalizationGrad},
      {"RMSNormalization", RmsNormalization},
      {"RMSNormalizationGrad", RmsNormalizationGrad},
      {"AdamW", AdamW},
      {"SgdMomentum", SgdMomentum},
      {"SquaredSums", SquaredSums},
  };
  return *rules;
}

}  // namespace millrace::op_rules
