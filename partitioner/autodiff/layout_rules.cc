#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/autodiff/rules.h"

namespace millrace {
namespace {

absl::Status ReshapeGradient(Tape& tape) {
  const int x = tape.In(0);
  if (!tape.Needs(x)) return absl::OkStatus();
  tape.Give(x, tape.View(tape.Gradient(tape.Out(0)), std::vector<int64_t>(tape.Spec(x).dims)));
  return absl::OkStatus();
}

absl::Status TransposeGradient(Tape& tape) {
  const std::vector<int64_t> perm = tape.Forward().attributes.Ints("perm");
  std::vector<int64_t> inverse(perm.size());
  for (int i = 0; i < static_cast<int>(perm.size()); ++i) inverse[perm[i]] = i;
  const int x = tape.In(0);
  tape.GiveFrom(x, TensorSpec(tape.Spec(x)), "Transpose", {tape.Gradient(tape.Out(0))},
                Attributes().SetInts("perm", inverse));
  return absl::OkStatus();
}

absl::Status SplitGradient(Tape& tape) {
  const GraphNode node = tape.Forward();
  if (!tape.Needs(tape.In(0))) return absl::OkStatus();
  std::vector<int> parts;
  for (int y : node.outputs) {
    int part = tape.Gradient(y);
    if (part < 0) {  // nothing that the loss needs reads this part
      part = tape.Emit1("Expand", {y}, absl::StrCat("d/", tape.graph().values[y].name), TensorSpec(tape.Spec(y)),
                        Attributes().SetFloat("scale", 0));
    }
    parts.push_back(part);
  }
  const int x = tape.In(0);
  tape.GiveFrom(x, TensorSpec(tape.Spec(x)), "Concat", parts,
                Attributes().SetInt("axis", node.attributes.Int("axis", 0)));
  return absl::OkStatus();
}

absl::Status ConcatGradient(Tape& tape) {
  const GraphNode node = tape.Forward();
  const int64_t axis = node.attributes.Int("axis", 0);
  std::vector<int64_t> sizes;
  std::vector<int> parts;
  for (int x : node.inputs) {
    sizes.push_back(tape.Spec(x).dims[axis]);
    parts.push_back(tape.NewGradient(x, TensorSpec(tape.Spec(x))));
  }
  tape.Emit("Split", {tape.Gradient(tape.Out(0))}, parts, Attributes().SetInt("axis", axis).SetInts("split", sizes));
  for (int i = 0; i < static_cast<int>(parts.size()); ++i) tape.Give(node.inputs[i], parts[i]);
  return absl::OkStatus();
}

absl::Status ReduceGradient(Tape& tape) {
  const int x = tape.In(0);
  if (!tape.Needs(x)) return absl::OkStatus();
  const GraphNode node = tape.Forward();
  const TensorSpec spec = tape.Spec(x);
  std::vector<int64_t> kept = spec.dims;
  double terms = 1;
  for (int64_t axis : node.attributes.Ints("axes")) {
    terms *= static_cast<double>(kept[axis]);
    kept[axis] = 1;
  }
  Attributes attributes;
  if (node.op == "ReduceMean") attributes.SetFloat("scale", 1 / terms);
  tape.GiveFrom(x, spec, "Expand", {tape.View(tape.Gradient(tape.Out(0)), kept)}, attributes);
  return absl::OkStatus();
}

absl::Status ExpandGradient(Tape& tape) {
  const int dy = tape.Gradient(tape.Out(0));
  const double scale = tape.Forward().attributes.Float("scale", 1);
  if (scale == 1) {
    tape.Give(tape.In(0), dy);
  } else {
    tape.GiveFrom(tape.In(0), TensorSpec(tape.Spec(dy)), "Expand", {dy}, Attributes().SetFloat("scale", scale));
  }
  return absl::OkStatus();
}

absl::Status ForkGradient(Tape& tape) {
  const int first = tape.Gradient(tape.Out(0)), second = tape.Gradient(tape.Out(1)), x = tape.In(0);
  if (first < 0 || second < 0) {
    tape.Give(x, first < 0 ? second : first);
  } else {
    tape.GiveFrom(x, TensorSpec(tape.Spec(x)), "Add", {first, second});
  }
  return absl::OkStatus();
}

}  // namespace

GradientRule LayoutRule(absl::string_view op) {
  if (op == "Reshape") return ReshapeGradient;
  if (op == "Transpose") return TransposeGradient;
  if (op == "Split") return SplitGradient;
  if (op == "Concat") return ConcatGradient;
  if (op == "ReduceSum" || op == "ReduceMean") return ReduceGradient;
  if (op == "Expand") return ExpandGradient;
  return op == "Fork" ? ForkGradient : nullptr;
}

}  // namespace millrace
