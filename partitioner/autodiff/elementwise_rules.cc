#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "partitioner/autodiff/rules.h"

namespace millrace {
namespace {

absl::Status AddGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  tape.Give(tape.In(0), dy);
  tape.Give(tape.In(1), dy);
  return absl::OkStatus();
}

absl::Status SubGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  tape.Give(tape.In(0), dy);
  tape.GiveFrom(tape.In(1), tape.Spec(dy), "Neg", {dy});
  return absl::OkStatus();
}

absl::Status MulGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0)), a = tape.In(0), b = tape.In(1);
  tape.GiveFrom(a, tape.Spec(dy), "Mul", {dy, b});
  tape.GiveFrom(b, tape.Spec(dy), "Mul", {dy, a});
  return absl::OkStatus();
}

// y = a / b: da = dy / b, db = -(dy / b) y.
absl::Status DivGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0)), a = tape.In(0), b = tape.In(1), y = tape.Out(0);
  const TensorSpec spec = tape.Spec(dy);
  const std::string stem = absl::StrCat("d/", tape.graph().values[y].name);
  const int quotient = tape.Emit1("Div", {dy, b}, absl::StrCat(stem, ".quotient"), spec);
  tape.Give(a, quotient);
  if (!tape.Needs(b)) return absl::OkStatus();
  const int product = tape.Emit1("Mul", {quotient, y}, absl::StrCat(stem, ".product"), spec);
  tape.GiveFrom(b, spec, "Neg", {product});
  return absl::OkStatus();
}

absl::Status NegGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  tape.GiveFrom(tape.In(0), tape.Spec(dy), "Neg", {dy});
  return absl::OkStatus();
}

absl::Status IdentityGradient(Tape& tape) {
  tape.Give(tape.In(0), tape.Gradient(tape.Out(0)));
  return absl::OkStatus();
}

// y > 0 exactly where x > 0, and the node that reads y keeps it anyway.
absl::Status FromResult(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  tape.GiveFrom(tape.In(0), tape.Spec(dy), tape.Forward().op + "Grad", {dy, tape.Out(0)});
  return absl::OkStatus();
}

absl::Status FromOperand(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  const GraphNode node = tape.Forward();
  tape.GiveFrom(tape.In(0), tape.Spec(dy), node.op + "Grad", {dy, tape.In(0)}, node.attributes);
  return absl::OkStatus();
}

// The same random numbers, by the same key.
absl::Status DropoutGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  tape.GiveFrom(tape.In(0), tape.Spec(dy), "Dropout", {dy}, tape.Forward().attributes);
  return absl::OkStatus();
}

absl::Status CastGradient(Tape& tape) {
  const TensorSpec x = tape.Spec(tape.In(0));
  tape.GiveFrom(tape.In(0), x, "Cast", {tape.Gradient(tape.Out(0))}, Attributes().SetInt("to", x.dtype));
  return absl::OkStatus();
}

}  // namespace

GradientRule ElementwiseRule(absl::string_view op) {
  static const auto* const rules = new absl::flat_hash_map<std::string, GradientRule>{
      {"Add", AddGradient},           {"Sub", SubGradient},  {"Mul", MulGradient},  {"Div", DivGradient},
      {"Neg", NegGradient},           {"Relu", FromResult},  {"Tanh", FromResult},  {"Sigmoid", FromResult},
      {"Softmax", FromResult},        {"Silu", FromOperand}, {"Gelu", FromOperand}, {"Dropout", DropoutGradient},
      {"Identity", IdentityGradient}, {"Cast", CastGradient}};
  const auto found = rules->find(std::string(op));
  return found == rules->end() ? nullptr : found->second;
}

}  // namespace millrace
