#include "partitioner/graph/build_graph.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/random.h"
#include "partitioner/graph/catalogue.h"
#include "partitioner/graph/check_model.h"
#include "partitioner/graph/topological_order.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

absl::Status Bad(const std::string& what, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", why));
}

class Checker {
 public:
  Checker(const proto::Model& model, int64_t micro_batch) : model_(model), micro_batch_(micro_batch) {}

  absl::StatusOr<Graph> Run() {
    MR_RETURN_IF_ERROR(CheckLimits());
    graph_.name = model_.name();
    graph_.model_hash = Sha256Hex(CanonicalBytes(model_));
    graph_.micro_batch_size = micro_batch_;
    MR_RETURN_IF_ERROR(AddInputs());
    MR_RETURN_IF_ERROR(AddParameters());
    MR_RETURN_IF_ERROR(DeclareOutputs());
    MR_ASSIGN_OR_RETURN(const std::vector<int> order, Order());
    for (int n : order) MR_RETURN_IF_ERROR(AddNode(model_.nodes(n)));
    MR_RETURN_IF_ERROR(SetLoss());
    MR_RETURN_IF_ERROR(SetLogits());
    for (const GraphParameter& p : graph_.parameters) {
      if (graph_.values[p.value].consumers.empty()) {
        return Bad(absl::StrCat("parameter ", QuotedName(p.name)), "no node reads it; remove it from the model");
      }
    }
    return std::move(graph_);
  }

 private:
  absl::Status CheckLimits() const {
    if (model_.schema_version() > kSchemaVersion) {
      return Bad("model", absl::StrCat("schema_version ", model_.schema_version(), " is newer than this build's ",
                                       kSchemaVersion));
    }
    if (micro_batch_ < 1 || micro_batch_ > int64_t{1} << 31) {
      return Bad("micro-batch", absl::StrCat("size ", micro_batch_, " must be in 1 .. 2^31"));
    }
    if (model_.nodes_size() == 0) return Bad("model", "has no nodes");
    if (model_.nodes_size() > kMaxNodes || model_.parameters_size() > kMaxNodes || model_.inputs_size() > kMaxNodes) {
      return Bad("model", absl::StrCat("has more than ", kMaxNodes, " nodes, parameters or inputs"));
    }
    return absl::OkStatus();
  }

  // Returns the new value's index.
  absl::StatusOr<int> AddValue(const std::string& what, const std::string& name, TensorSpec spec,
                               GraphValue::Kind kind) {
    MR_RETURN_IF_ERROR(CheckName(what, name));
    const int index = graph_.values.size();
    if (!values_.emplace(name, index).second) {
      return Bad(what, absl::StrCat("the name ", QuotedName(name), " is taken by another tensor; names must be unique"));
    }
    GraphValue value;
    value.name = name;
    value.spec = std::move(spec);
    value.kind = kind;
    graph_.values.push_back(std::move(value));
    return index;
  }

  absl::Status AddInputs() {
    for (const proto::Input& input : model_.inputs()) {
      MR_ASSIGN_OR_RETURN(TensorSpec spec, BindInput(input, micro_batch_));
      MR_ASSIGN_OR_RETURN(const int value, AddValue(absl::StrCat("input ", QuotedName(input.name())), input.name(),
                                                    std::move(spec), GraphValue::Kind::kInput));
      graph_.inputs.push_back(value);
      graph_.model_inputs.push_back(input);
    }
    return absl::OkStatus();
  }

  absl::Status AddParameters() {
    for (const proto::Parameter& parameter : model_.parameters()) {
      MR_RETURN_IF_ERROR(CheckParameter(parameter));
      GraphParameter p;
      p.name = parameter.name();
      p.spec = TensorSpec::Of(parameter.type());
      p.initializer = parameter.initializer();
      p.constant = parameter.constant();
      p.trainable = !p.constant && (!parameter.has_trainable() || parameter.trainable());
      p.decay = p.trainable && (parameter.has_decay() ? parameter.decay() : p.spec.dims.size() >= 2);
      MR_ASSIGN_OR_RETURN(
          p.value, AddValue(absl::StrCat("parameter ", QuotedName(p.name)), p.name, p.spec, GraphValue::Kind::kParameter));
      graph_.values[p.value].parameter = graph_.parameters.size();
      graph_.parameters.push_back(std::move(p));
    }
    return absl::OkStatus();
  }

  // Output values exist, without shapes, before inputs are looked up: nodes come in any order.
  absl::Status DeclareOutputs() {
    absl::flat_hash_set<std::string> node_names;
    for (int n = 0; n < model_.nodes_size(); ++n) {
      const proto::Node& node = model_.nodes(n);
      MR_RETURN_IF_ERROR(CheckName(absl::StrCat("node ", n, " (", QuotedName(node.op()), ")"), node.name()));
      if (!node_names.insert(node.name()).second) {
        return Bad(NodeText(node), "another node has this name; names must be unique");
      }
      MR_RETURN_IF_ERROR(CheckNode(node));
      for (const std::string& output : node.outputs()) {
        if (output.empty()) continue;
        MR_ASSIGN_OR_RETURN(const int value, AddValue(absl::StrCat(NodeText(node), ": output ", QuotedName(output)), output,
                                                      {}, GraphValue::Kind::kActivation));
        graph_.values[value].producer = n;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<int>> Order() {
    std::vector<std::vector<int>> producers(model_.nodes_size());
    for (int n = 0; n < model_.nodes_size(); ++n) {
      const proto::Node& node = model_.nodes(n);
      for (int i = 0; i < node.inputs_size(); ++i) {
        if (node.inputs(i).empty()) continue;
        const auto found = values_.find(node.inputs(i));
        if (found == values_.end()) {
          return Bad(NodeText(node), absl::StrCat("input ", i, " reads ", QuotedName(node.inputs(i)),
                                                  ", which no input, parameter or node makes"));
        }
        const int producer = graph_.values[found->second].producer;
        if (producer == n) return Bad(NodeText(node), absl::StrCat("input ", i, " reads the node's own output"));
        if (producer >= 0) producers[n].push_back(producer);
      }
    }
    return TopologicalOrder(model_, producers);
  }

  absl::Status AddNode(const proto::Node& node) {
    const int index = graph_.nodes.size();
    GraphNode added;
    added.name = node.name();
    added.op = node.op();
    added.attributes = Attributes(node.attributes());
    added.forward_node = added.unit = index;
    std::vector<TensorSpec> specs;
    for (const std::string& input : node.inputs()) {
      const int value = input.empty() ? -1 : values_[input];
      added.inputs.push_back(value);
      specs.push_back(value < 0 ? TensorSpec() : graph_.values[value].spec);
      if (value >= 0) graph_.values[value].consumers.push_back(index);
    }
    BindAttributes(node, &added.attributes);
    absl::StatusOr<std::vector<TensorSpec>> outputs =
        InferOutputs(node.op(), specs, added.attributes, node.outputs_size());
    if (!outputs.ok()) return Bad(NodeText(node), std::string(outputs.status().message()));
    for (int i = 0; i < node.outputs_size(); ++i) {
      const int value = node.outputs(i).empty() ? -1 : values_[node.outputs(i)];
      added.outputs.push_back(value);
      if (value < 0) continue;
      MR_RETURN_IF_ERROR(CheckSize(absl::StrCat(NodeText(node), ": output ", i), (*outputs)[i]));
      graph_.values[value].spec = (*outputs)[i];
      graph_.values[value].producer = index;
    }
    Canonicalise(*outputs, specs, &added);
    graph_.nodes.push_back(std::move(added));
    return absl::OkStatus();
  }

  void BindAttributes(const proto::Node& node, Attributes* attributes) const {
    if (node.op() == "Dropout") attributes->SetBits("random_key", RandomKey(node.outputs(0)));
    if (node.op() == "Expand") {
      std::vector<int64_t> shape = attributes->Ints("shape");
      std::replace(shape.begin(), shape.end(), int64_t{-1}, micro_batch_);
      attributes->SetInts("shape", shape);
    }
  }

  // One spelling for each meaning, so that later passes and kernels see axes and sizes in full.
  static void Canonicalise(const std::vector<TensorSpec>& outputs, const std::vector<TensorSpec>& inputs,
                           GraphNode* node) {
    Attributes& a = node->attributes;
    const int rank = inputs[0].dims.size();
    auto positive = [rank](int64_t axis) { return axis < 0 ? axis + rank : axis; };
    if (node->op == "Reshape") a.SetInts("shape", outputs[0].dims);
    if (node->op == "Expand") a.Remove("shape");
    if (node->op == "SoftmaxCrossEntropyLoss") a.Remove("reduction");
    if (node->op == "LayerNormalization" || node->op == "RMSNormalization" || node->op == "Softmax" ||
        node->op == "Gather") {
      a.Remove("axis");
    }
    if (node->op == "Concat" || node->op == "Split") a.SetInt("axis", positive(a.Int("axis", 0)));
    if (node->op == "Split") {
      std::vector<int64_t> sizes;
      for (const TensorSpec& part : outputs) sizes.push_back(part.dims[a.Int("axis", 0)]);
      a.SetInts("split", sizes).Remove("num_outputs");
    }
    if (node->op == "Transpose" && a.Ints("perm").empty()) {
      std::vector<int64_t> perm;
      for (int i = rank; i-- > 0;) perm.push_back(i);
      a.SetInts("perm", perm);
    }
    if (node->op == "ReduceSum" || node->op == "ReduceMean") {
      std::vector<int64_t> axes = a.Ints("axes");
      for (int64_t& axis : axes) axis = positive(axis);
      for (int i = 0; axes.empty() && i < rank; ++i) axes.push_back(i);
      std::sort(axes.begin(), axes.end());
      a.SetInts("axes", axes).SetInt("keepdims", a.Int("keepdims", 1) != 0 ? 1 : 0);
    }
  }

  absl::Status SetLoss() {
    if (model_.loss().value().empty() || model_.loss().count().empty()) {
      return Bad("model",
                 "loss.value and loss.count must name the outputs of a SoftmaxCrossEntropyLoss or "
                 "LinearCrossEntropy node");
    }
    int* const slots[] = {&graph_.loss, &graph_.count};
    const std::string names[] = {model_.loss().value(), model_.loss().count()};
    for (int i : {0, 1}) {
      const std::string what = absl::StrCat("model: loss.", i == 0 ? "value" : "count", " ", QuotedName(names[i]));
      const auto found = values_.find(names[i]);
      if (found == values_.end()) return Bad(what, "no node makes it");
      const GraphValue& value = graph_.values[found->second];
      const GraphNode* maker = value.producer < 0 ? nullptr : &graph_.nodes[value.producer];
      const bool from_loss =
          maker != nullptr && (maker->op == "SoftmaxCrossEntropyLoss" || maker->op == "LinearCrossEntropy");
      if (!from_loss || maker->outputs[i] != found->second) {
        return Bad(what, absl::StrCat("must be output ", i, " of a SoftmaxCrossEntropyLoss or LinearCrossEntropy"));
      }
      if (!value.consumers.empty()) {
        return Bad(what, absl::StrCat("is read by node ", QuotedName(graph_.nodes[value.consumers[0]].name),
                                      "; the loss must be the end of the graph"));
      }
      *slots[i] = found->second;
    }
    if (graph_.values[graph_.loss].producer != graph_.values[graph_.count].producer) {
      return Bad("model", "loss.value and loss.count must come from one node");
    }
    return absl::OkStatus();
  }

  absl::Status SetLogits() {
    if (model_.logits().empty()) return absl::OkStatus();
    const auto found = values_.find(model_.logits());
    const std::string what = absl::StrCat("model: logits ", QuotedName(model_.logits()));
    if (found == values_.end()) return Bad(what, "no node makes it");
    const GraphValue& value = graph_.values[found->second];
    if (value.kind != GraphValue::Kind::kActivation || !IsFloat(value.spec.dtype) || value.spec.dims.empty()) {
      return Bad(what, "must be a floating-point result of a node, with at least one dimension");
    }
    graph_.logits = found->second;
    return absl::OkStatus();
  }

  const proto::Model& model_;
  const int64_t micro_batch_;
  Graph graph_;
  absl::flat_hash_map<std::string, int> values_;
};

}  // namespace

absl::StatusOr<Graph> BuildGraph(const proto::Model& model, int64_t micro_batch) {
  return Checker(model, micro_batch).Run();
}

}  // namespace millrace
