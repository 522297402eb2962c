#include "partitioner/graph/builder.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/check_model.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

proto::Initializer Made(proto::Initializer::Kind kind, double value = 0, double scale = 0) {
  proto::Initializer initializer;
  initializer.set_kind(kind);
  initializer.set_value(value);
  initializer.set_scale(scale);
  return initializer;
}

void SetType(proto::DataType dtype, const std::vector<int64_t>& dims, proto::TensorType* type) {
  type->set_dtype(dtype);
  type->mutable_dims()->Assign(dims.begin(), dims.end());
}

std::vector<std::string> Names(std::initializer_list<absl::string_view> names) {
  std::vector<std::string> out;
  for (absl::string_view name : names) out.emplace_back(name);
  return out;
}

}  // namespace

proto::Initializer Zeros() { return Made(proto::Initializer::ZEROS); }
proto::Initializer Ones() { return Made(proto::Initializer::ONES); }
proto::Initializer Constant(double value) { return Made(proto::Initializer::CONSTANT, value); }
proto::Initializer Normal(double standard_deviation, double mean) {
  return Made(proto::Initializer::NORMAL, mean, standard_deviation);
}
proto::Initializer Uniform(double half_width, double middle) {
  return Made(proto::Initializer::UNIFORM, middle, half_width);
}
proto::Initializer Iota() { return Made(proto::Initializer::IOTA); }
proto::Initializer RotaryCos(double theta) { return Made(proto::Initializer::ROTARY_COS, theta); }
proto::Initializer RotarySin(double theta) { return Made(proto::Initializer::ROTARY_SIN, theta); }

GraphBuilder::GraphBuilder(absl::string_view model_name, proto::DataType floats) : state_(std::make_shared<State>()) {
  state_->model.set_schema_version(kSchemaVersion);
  state_->model.set_name(std::string(model_name));
  state_->floats = floats;
}

std::string GraphBuilder::Input(absl::string_view name, std::vector<int64_t> dims, proto::DataType dtype,
                                proto::Input::Role role) {
  proto::Input* input = state_->model.add_inputs();
  input->set_name(std::string(name));
  input->set_role(role);
  SetType(dtype, dims, input->mutable_type());
  return input->name();
}

std::string GraphBuilder::Parameter(absl::string_view name, std::vector<int64_t> dims,
                                    const proto::Initializer& initializer, bool trainable, proto::DataType dtype) {
  proto::Parameter* parameter = state_->model.add_parameters();
  parameter->set_name(absl::StrCat(state_->scope, name));
  *parameter->mutable_initializer() = initializer;
  if (!trainable) parameter->set_trainable(false);
  SetType(dtype == proto::DATA_TYPE_UNSPECIFIED ? state_->floats : dtype, dims, parameter->mutable_type());
  return parameter->name();
}

std::string GraphBuilder::Table(absl::string_view name, std::vector<int64_t> dims,
                                const proto::Initializer& initializer, proto::DataType dtype) {
  proto::Parameter* parameter = state_->model.add_parameters();
  parameter->set_name(std::string(name));
  parameter->set_constant(true);
  *parameter->mutable_initializer() = initializer;
  SetType(dtype == proto::DATA_TYPE_UNSPECIFIED ? state_->floats : dtype, dims, parameter->mutable_type());
  return parameter->name();
}

GraphBuilder GraphBuilder::Named(absl::string_view name) const {
  GraphBuilder named = *this;
  named.next_name_ = std::string(name);
  return named;
}

std::vector<std::string> GraphBuilder::Op(absl::string_view op, std::vector<std::string> inputs,
                                          const Attributes& attributes, int num_outputs) {
  std::string name = std::exchange(next_name_, "");
  if (name.empty()) name = absl::StrCat(absl::AsciiStrToLower(op), "_", state_->model.nodes_size());
  proto::Node* node = state_->model.add_nodes();
  node->set_name(absl::StrCat(state_->scope, name));
  node->set_op(std::string(op));
  for (std::string& input : inputs) node->add_inputs(std::move(input));
  attributes.CopyTo(node->mutable_attributes());
  for (int i = 0; i < num_outputs; ++i) {
    node->add_outputs(num_outputs == 1 ? node->name() : absl::StrCat(node->name(), ".", i));
  }
  return {node->outputs().begin(), node->outputs().end()};
}

std::string GraphBuilder::One(absl::string_view op, std::vector<std::string> inputs, const Attributes& attributes) {
  return Op(op, std::move(inputs), attributes)[0];
}

std::string GraphBuilder::MatMul(absl::string_view a, absl::string_view b) { return One("MatMul", Names({a, b})); }
std::string GraphBuilder::Add(absl::string_view a, absl::string_view b) { return One("Add", Names({a, b})); }
std::string GraphBuilder::Sub(absl::string_view a, absl::string_view b) { return One("Sub", Names({a, b})); }
std::string GraphBuilder::Mul(absl::string_view a, absl::string_view b) { return One("Mul", Names({a, b})); }
std::string GraphBuilder::Div(absl::string_view a, absl::string_view b) { return One("Div", Names({a, b})); }
std::string GraphBuilder::Relu(absl::string_view x) { return One("Relu", Names({x})); }
std::string GraphBuilder::Silu(absl::string_view x) { return One("Silu", Names({x})); }
std::string GraphBuilder::Tanh(absl::string_view x) { return One("Tanh", Names({x})); }
std::string GraphBuilder::Sigmoid(absl::string_view x) { return One("Sigmoid", Names({x})); }
std::string GraphBuilder::Softmax(absl::string_view x) { return One("Softmax", Names({x})); }

std::string GraphBuilder::Gelu(absl::string_view x, bool tanh) {
  return One("Gelu", Names({x}), tanh ? Attributes().SetString("approximate", "tanh") : Attributes());
}

std::string GraphBuilder::Activation(absl::string_view kind, absl::string_view x) {
  if (kind == "relu") return Relu(x);
  if (kind == "gelu" || kind == "gelu_tanh") return Gelu(x, kind == "gelu_tanh");
  if (kind == "silu") return Silu(x);
  if (kind == "tanh") return Tanh(x);
  if (kind == "sigmoid") return Sigmoid(x);
  if (state_->first_error.ok()) {
    state_->first_error = absl::InvalidArgumentError(absl::StrCat(
        "activation ", QuotedName(kind), " is unknown; there are relu, gelu, gelu_tanh, silu, tanh and sigmoid"));
  }
  return std::string(x);
}

std::string GraphBuilder::Dropout(absl::string_view x, double ratio) {
  if (ratio == 0) return std::string(x);
  return One("Dropout", Names({x}), Attributes().SetFloat("ratio", ratio));
}

std::string GraphBuilder::Gather(absl::string_view table, absl::string_view indices) {
  return One("Gather", Names({table, indices}));
}

std::string GraphBuilder::LayerNorm(absl::string_view x, absl::string_view scale, absl::string_view bias,
                                    double epsilon) {
  std::vector<std::string> inputs = Names({x, scale});
  if (!bias.empty()) inputs.emplace_back(bias);
  return One("LayerNormalization", std::move(inputs), Attributes().SetFloat("epsilon", epsilon));
}

std::string GraphBuilder::RmsNorm(absl::string_view x, absl::string_view scale, double epsilon) {
  return One("RMSNormalization", Names({x, scale}), Attributes().SetFloat("epsilon", epsilon));
}

std::string GraphBuilder::Attention(absl::string_view q, absl::string_view k, absl::string_view v, int64_t heads,
                                    bool causal, int64_t kv_heads) {
  Attributes attributes;
  attributes.SetInt("q_num_heads", heads).SetInt("kv_num_heads", kv_heads == 0 ? heads : kv_heads);
  if (causal) attributes.SetInt("is_causal", 1);
  return One("Attention", Names({q, k, v}), attributes);
}

std::string GraphBuilder::Rotary(absl::string_view x, absl::string_view cos, absl::string_view sin, int64_t heads,
                                 bool interleaved) {
  Attributes attributes;
  attributes.SetInt("num_heads", heads);
  if (interleaved) attributes.SetInt("interleaved", 1);
  return One("RotaryEmbedding", Names({x, cos, sin}), attributes);
}

std::string GraphBuilder::Transpose(absl::string_view x, std::vector<int64_t> perm) {
  return One("Transpose", Names({x}), perm.empty() ? Attributes() : Attributes().SetInts("perm", perm));
}

std::string GraphBuilder::Reshape(absl::string_view x, std::vector<int64_t> shape) {
  return One("Reshape", Names({x}), Attributes().SetInts("shape", shape));
}

std::vector<std::string> GraphBuilder::Split(absl::string_view x, int64_t axis, std::vector<int64_t> sizes) {
  return Op("Split", Names({x}), Attributes().SetInt("axis", axis).SetInts("split", sizes), sizes.size());
}

std::string GraphBuilder::Concat(std::vector<std::string> parts, int64_t axis) {
  return One("Concat", std::move(parts), Attributes().SetInt("axis", axis));
}

std::string GraphBuilder::Linear(absl::string_view name, absl::string_view x, int64_t in, int64_t out, bool bias,
                                 double standard_deviation) {
  const std::string weight = Parameter(absl::StrCat(name, ".weight"), {in, out}, Normal(standard_deviation));
  const std::string y = Named(name).MatMul(x, weight);
  if (!bias) return y;
  const std::string shift = Parameter(absl::StrCat(name, ".bias"), {out}, Zeros());
  return Named(absl::StrCat(name, ".add")).Add(y, shift);
}

void GraphBuilder::SoftmaxCrossEntropy(absl::string_view scores, absl::string_view labels, int64_t ignore_index) {
  Attributes attributes;
  if (ignore_index != -100) attributes.SetInt("ignore_index", ignore_index);
  if (next_name_.empty()) next_name_ = "loss";
  const std::vector<std::string> outputs = Op("SoftmaxCrossEntropyLoss", Names({scores, labels}), attributes, 2);
  state_->model.mutable_loss()->set_value(outputs[0]);
  state_->model.mutable_loss()->set_count(outputs[1]);
}

void GraphBuilder::Logits(absl::string_view value) { state_->model.set_logits(std::string(value)); }

absl::StatusOr<proto::Model> GraphBuilder::Finish() const {
  MR_RETURN_IF_ERROR(state_->first_error);
  MR_RETURN_IF_ERROR(BuildGraph(state_->model, 1).status());
  return state_->model;
}

}  // namespace millrace
