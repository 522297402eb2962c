// Normalisation, attention, tables: gradients with kernels of their own.
#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/autodiff/rules.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

// Statistics and sums are f32, f64 where everything is.
DType StatisticOf(DType dtype) { return dtype == proto::F64 ? proto::F64 : proto::F32; }

// One statistic per row.
TensorSpec PerRow(const TensorSpec& x) {
  TensorSpec spec = {StatisticOf(x.dtype), x.dims};
  spec.dims.back() = 1;
  return spec;
}

absl::Status CheckScale(const Tape& tape, int value) {
  if (!tape.Needs(value) || tape.IsParameter(value)) return absl::OkStatus();
  return NoGradient(tape, absl::StrCat("\"", tape.graph().values[value].name, "\" must be a parameter"));
}

absl::Status LayerNormGradient(Tape& tape) {
  const int x = tape.In(0), scale = tape.In(1), shift = tape.In(2), dy = tape.Gradient(tape.Out(0));
  MR_RETURN_IF_ERROR(CheckScale(tape, scale));
  MR_RETURN_IF_ERROR(CheckScale(tape, shift));
  const TensorSpec spec = tape.Spec(x);
  const int mean = tape.Saved(1, "mean", PerRow(spec)), inv = tape.Saved(2, "inv_std_dev", PerRow(spec));
  const int dx = tape.NewGradient(x, spec);
  const int scale_gradient = tape.Accumulator(scale), shift_gradient = tape.Accumulator(shift);
  tape.Emit("LayerNormalizationGrad", {dy, x, scale, mean, inv}, {dx, scale_gradient, shift_gradient},
            tape.Forward().attributes);
  tape.Give(x, dx);
  return absl::OkStatus();
}

absl::Status RmsNormGradient(Tape& tape) {
  const int x = tape.In(0), scale = tape.In(1), dy = tape.Gradient(tape.Out(0));
  MR_RETURN_IF_ERROR(CheckScale(tape, scale));
  const TensorSpec spec = tape.Spec(x);
  const int inv = tape.Saved(1, "inv_rms", PerRow(spec));
  const int dx = tape.NewGradient(x, spec), scale_gradient = tape.Accumulator(scale);
  tape.Emit("RMSNormalizationGrad", {dy, x, scale, inv}, {dx, scale_gradient}, tape.Forward().attributes);
  tape.Give(x, dx);
  return absl::OkStatus();
}

absl::Status RotaryGradient(Tape& tape) {
  if (tape.Needs(tape.In(1)) || tape.Needs(tape.In(2))) {
    return NoGradient(tape, "the rotary tables (inputs 1 and 2) must not be trainable");
  }
  const int dy = tape.Gradient(tape.Out(0));
  Attributes attributes = tape.Forward().attributes;
  attributes.SetInt("inverse", 1 - attributes.Int("inverse", 0));
  tape.GiveFrom(tape.In(0), tape.Spec(dy), "RotaryEmbedding", {dy, tape.In(1), tape.In(2)}, attributes);
  return absl::OkStatus();
}

absl::Status AttentionGradient(Tape& tape) {
  const int q = tape.In(0), k = tape.In(1), v = tape.In(2), y = tape.Out(0), dy = tape.Gradient(y);
  const Attributes attributes = tape.Forward().attributes;
  const TensorSpec spec = tape.Spec(q);
  const int lse =
      tape.Saved(1, "lse", {StatisticOf(spec.dtype), {spec.dims[0], attributes.Int("q_num_heads", 1), spec.dims[1]}});
  std::vector<int> outputs;
  for (int operand : {q, k, v}) {
    if (operand >= 0) outputs.push_back(tape.NewGradient(operand, TensorSpec(tape.Spec(operand))));
  }
  tape.Emit("AttentionGrad", {dy, q, k, v, y, lse}, outputs, attributes);
  tape.Give(q, outputs[0]);
  if (k >= 0) {
    tape.Give(k, outputs[1]);
    tape.Give(v, outputs[2]);
  }
  return absl::OkStatus();
}

absl::Status GatherGradient(Tape& tape) {
  const int table = tape.In(0), dy = tape.Gradient(tape.Out(0));
  if (!tape.Needs(table)) return absl::OkStatus();
  if (!tape.IsParameter(table)) return NoGradient(tape, "the table (input 0) must be a parameter");
  tape.Emit("GatherGrad", {dy, tape.In(1)}, {tape.Accumulator(table)}, tape.Forward().attributes);
  return absl::OkStatus();
}

absl::Status CrossEntropyGradient(Tape& tape) {
  const int scores = tape.In(0);
  tape.GiveFrom(scores, TensorSpec(tape.Spec(scores)), "SoftmaxCrossEntropyLossGrad", {scores, tape.In(1)},
                tape.Forward().attributes);
  return absl::OkStatus();
}

// The forward pass makes both gradients.
absl::Status LinearCrossEntropyGradient(Tape& tape) {
  const int x = tape.In(0), weight = tape.In(1);
  if (tape.Needs(weight) && !tape.IsParameter(weight))
    return NoGradient(tape, "the weight (input 1) must be a parameter");
  if (tape.Needs(weight)) tape.SetOutput(3, tape.Accumulator(weight));
  if (tape.Needs(x)) {
    const int dx = tape.NewGradient(x, TensorSpec(tape.Spec(x)));
    tape.SetOutput(2, dx);
    tape.Give(x, dx);
  }
  return absl::OkStatus();
}

}  // namespace

GradientRule LayerRule(absl::string_view op) {
  if (op == "LayerNormalization") return LayerNormGradient;
  if (op == "RMSNormalization") return RmsNormGradient;
  if (op == "RotaryEmbedding") return RotaryGradient;
  if (op == "Attention") return AttentionGradient;
  return op == "Gather" ? GatherGradient : nullptr;
}

GradientRule LossRule(absl::string_view op) {
  if (op == "SoftmaxCrossEntropyLoss") return CrossEntropyGradient;
  return op == "LinearCrossEntropy" ? LinearCrossEntropyGradient : nullptr;
}

}  // namespace millrace
