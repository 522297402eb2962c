#include "partitioner/autodiff/tape.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {

Tape::Tape(Graph graph)
    : graph_(std::move(graph)),
      needs_(graph_.values.size(), false),
      gradient_(graph_.values.size(), -1),
      place_of_(graph_.values.size(), -1) {
  for (const GraphValue& value : graph_.values) names_.insert(value.name);
  for (const GraphParameter& p : graph_.parameters) needs_[p.value] = p.trainable;
  for (const GraphNode& node : graph_.nodes) {
    node_names_.insert(node.name);
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(), [&](int v) { return Needs(v); });
    for (int v : node.outputs) {
      if (v >= 0) needs_[v] = any && IsFloat(Spec(v).dtype);
    }
  }
}

bool Tape::IsParameter(int value) const {
  return value >= 0 && graph_.values[value].kind == GraphValue::Kind::kParameter;
}

int Tape::In(int i) const {
  const std::vector<int>& inputs = graph_.nodes[forward_node_].inputs;
  return i < static_cast<int>(inputs.size()) ? inputs[i] : -1;
}

int Tape::Out(int i) const {
  const std::vector<int>& outputs = graph_.nodes[forward_node_].outputs;
  return i < static_cast<int>(outputs.size()) ? outputs[i] : -1;
}

std::string Tape::Unique(std::string name) {
  if (names_.insert(name).second) return name;
  for (int suffix = 2;; ++suffix) {
    std::string candidate = absl::StrCat(name, "#", suffix);
    if (names_.insert(candidate).second) return candidate;
  }
}

int Tape::New(const std::string& name, const TensorSpec& spec) {
  GraphValue value;
  value.name = Unique(name);
  value.spec = spec;
  graph_.values.push_back(std::move(value));
  needs_.push_back(false);
  gradient_.push_back(-1);
  place_of_.push_back(-1);
  return graph_.values.size() - 1;
}

int Tape::NewGradient(int value, const TensorSpec& spec) {
  const std::string name = absl::StrCat("d/", graph_.values[value].name);
  return New(IsParameter(value) ? absl::StrCat(name, "@", graph_.nodes[forward_node_].name) : name, TensorSpec(spec));
}

int Tape::Saved(int i, const std::string& suffix, const TensorSpec& spec) {
  if (Out(i) >= 0) return Out(i);
  const int value = New(absl::StrCat(graph_.values[Out(0)].name, ".", suffix), spec);
  SetOutput(i, value);
  return value;
}

void Tape::SetOutput(int i, int value) {
  std::vector<int>& outputs = graph_.nodes[forward_node_].outputs;
  if (static_cast<int>(outputs.size()) <= i) outputs.resize(i + 1, -1);
  outputs[i] = value;
  graph_.values[value].producer = forward_node_;
}

int Tape::Accumulator(int parameter_value) {
  if (!IsParameter(parameter_value) || !Needs(parameter_value)) return -1;
  const int index = graph_.values[parameter_value].parameter;
  const std::string name = absl::StrCat("grad/", graph_.parameters[index].name, "@", graph_.nodes[forward_node_].name);
  TensorSpec spec = graph_.parameters[index].spec;
  spec.dtype = spec.dtype == proto::F64 ? proto::F64 : proto::F32;
  const int value = New(name, spec);
  graph_.values[value].kind = GraphValue::Kind::kAccumulator;
  graph_.values[value].parameter = index;
  place_of_[value] = forward_node_;
  graph_.parameters[index].accumulators.push_back(value);
  return value;
}

void Tape::Emit(const std::string& op, std::vector<int> inputs, std::vector<int> outputs,
                const Attributes& attributes) {
  GraphNode node;
  node.name = absl::StrCat(graph_.nodes[forward_node_].name, "/", op);
  for (int suffix = 2; !node_names_.insert(node.name).second; ++suffix) {
    node.name = absl::StrCat(graph_.nodes[forward_node_].name, "/", op, "#", suffix);
  }
  node.op = op;
  node.attributes = attributes;
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  node.phase = proto::B;
  node.forward_node = forward_node_;
  node.unit = graph_.nodes[forward_node_].unit;
  for (int v : node.outputs) {
    if (v >= 0) graph_.values[v].producer = graph_.nodes.size();
  }
  graph_.nodes.push_back(std::move(node));
}

int Tape::Emit1(const std::string& op, std::vector<int> inputs, const std::string& name, const TensorSpec& spec,
                const Attributes& attributes) {
  const int value = New(name, TensorSpec(spec));
  Emit(op, std::move(inputs), {value}, attributes);
  return value;
}

int Tape::View(int value, const std::vector<int64_t>& dims) {
  if (Spec(value).dims == dims) return value;
  const int view = Emit1("Reshape", {value}, absl::StrCat(graph_.values[value].name, "/view"),
                         {Spec(value).dtype, dims}, Attributes().SetInts("shape", dims));
  graph_.values[view].alias_of = value;
  return view;
}

void Tape::Give(int value, int gradient) {
  if (!Needs(value)) return;
  const TensorSpec spec = Spec(value);
  const bool reduce = Spec(gradient).dims != spec.dims;
  if (IsParameter(value)) {
    const int accumulator = Accumulator(value);
    if (reduce) {
      Emit("ReduceSumTo", {gradient}, {accumulator}, Attributes().SetInt("accumulate", 1));
    } else {
      Emit("Accumulate", {gradient}, {accumulator});
    }
    return;
  }
  if (reduce) {
    const int reduced = NewGradient(value, spec);
    Emit("ReduceSumTo", {gradient}, {reduced});
    gradient = reduced;
  }
  // Only graphs without Forks come here twice for one value.
  if (gradient_[value] >= 0) {
    const int sum = NewGradient(value, spec);
    Emit("Add", {gradient_[value], gradient}, {sum});
    gradient = sum;
  }
  gradient_[value] = gradient;
}

void Tape::GiveFrom(int value, const TensorSpec& spec, const std::string& op, std::vector<int> inputs,
                    const Attributes& attributes) {
  if (!Needs(value)) return;
  const int gradient = NewGradient(value, TensorSpec(spec));
  Emit(op, std::move(inputs), {gradient}, attributes);
  Give(value, gradient);
}

void Tape::SetPhases() {
  for (int n = graph_.nodes.size(); n-- > 0;) {
    GraphNode& node = graph_.nodes[n];
    if (node.phase == proto::F) continue;
    const bool ends_here = std::all_of(node.outputs.begin(), node.outputs.end(), [&](int v) {
      if (v < 0 || graph_.values[v].kind == GraphValue::Kind::kAccumulator) return true;
      return std::all_of(graph_.values[v].consumers.begin(), graph_.values[v].consumers.end(), [&](int reader) {
        return graph_.nodes[reader].phase == proto::W && graph_.nodes[reader].forward_node == node.forward_node;
      });
    });
    node.phase = ends_here ? proto::W : proto::B;
  }
}

Graph Tape::Finish() {
  for (GraphParameter& p : graph_.parameters) {
    std::stable_sort(p.accumulators.begin(), p.accumulators.end(),
                     [&](int a, int b) { return place_of_[a] < place_of_[b]; });
  }
  for (GraphValue& value : graph_.values) value.consumers.clear();
  for (int n = 0; n < static_cast<int>(graph_.nodes.size()); ++n) {
    for (int v : graph_.nodes[n].inputs) {
      if (v >= 0) graph_.values[v].consumers.push_back(n);
    }
  }
  SetPhases();
  return std::move(graph_);
}

}  // namespace millrace
