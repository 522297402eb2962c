// Writing a model by hand. Tensors are named by strings: every call adds a node and returns the name of its result.
//
//   GraphBuilder b("tiny");
//   auto tokens = b.Input("tokens", {-1, 64}, proto::I64, proto::Input::TOKENS);
//   auto labels = b.Input("labels", {-1, 64}, proto::I64, proto::Input::LABELS);
//   auto x = b.Gather(b.Parameter("embed", {256, 32}, Normal(0.02)), tokens);
//   auto h = b.Gelu(b.Linear("up", x, 32, 128));
//   auto y = b.Add(x, b.Linear("down", h, 128, 32));
//   b.SoftmaxCrossEntropy(b.MatMul(y, b.Parameter("head", {32, 256}, Normal(0.02))), labels);
//   absl::StatusOr<proto::Model> model = b.Finish();
#ifndef PARTITIONER_GRAPH_BUILDER_H_
#define PARTITIONER_GRAPH_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/attributes.h"
#include "proto/model.pb.h"

namespace millrace {

proto::Initializer Zeros();
proto::Initializer Ones();
proto::Initializer Constant(double value);
proto::Initializer Normal(double standard_deviation, double mean = 0);
proto::Initializer Uniform(double half_width, double middle = 0);
proto::Initializer Iota();
proto::Initializer RotaryCos(double theta);
proto::Initializer RotarySin(double theta);

// Copies write the same model. Not thread-safe. Nothing is checked until Finish, which runs the whole checker.
class GraphBuilder {
 public:
  // `floats`: of parameters and tables that name no type.
  explicit GraphBuilder(absl::string_view model_name, proto::DataType floats = proto::F32);

  // Dimension -1 is the micro-batch.
  std::string Input(absl::string_view name, std::vector<int64_t> dims, proto::DataType dtype,
                    proto::Input::Role role = proto::Input::ROLE_UNSPECIFIED);
  // Trained. With `trainable` false it is frozen: saved, but never changed.
  std::string Parameter(absl::string_view name, std::vector<int64_t> dims, const proto::Initializer& initializer,
                        bool trainable = true, proto::DataType dtype = proto::DATA_TYPE_UNSPECIFIED);
  // A table made from its initialiser alone: neither trained nor saved.
  std::string Table(absl::string_view name, std::vector<int64_t> dims, const proto::Initializer& initializer,
                    proto::DataType dtype = proto::DATA_TYPE_UNSPECIFIED);

  // Any operator of docs/operators.md. With one output the result's name is the node's; with several, "node.0" ...
  std::vector<std::string> Op(absl::string_view op, std::vector<std::string> inputs, const Attributes& attributes = {},
                              int num_outputs = 1);

  // The same builder, whose next node is called `name` (within the scope): b.Named("act").Gelu(x). Nodes without one
  // get the operator's name and a number.
  GraphBuilder Named(absl::string_view name) const;
  // Prefix of all names of nodes and parameters from here on, e.g. "h.0."; "" for none. Inputs and Table are not
  // prefixed.
  void Scope(absl::string_view prefix) { state_->scope = std::string(prefix); }

  std::string MatMul(absl::string_view a, absl::string_view b);
  std::string Add(absl::string_view a, absl::string_view b);
  std::string Sub(absl::string_view a, absl::string_view b);
  std::string Mul(absl::string_view a, absl::string_view b);
  std::string Div(absl::string_view a, absl::string_view b);
  std::string Relu(absl::string_view x);
  std::string Gelu(absl::string_view x, bool tanh = false);
  std::string Silu(absl::string_view x);
  std::string Tanh(absl::string_view x);
  std::string Sigmoid(absl::string_view x);
  std::string Softmax(absl::string_view x);
  // "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"; any other name makes Finish fail.
  std::string Activation(absl::string_view kind, absl::string_view x);
  std::string Dropout(absl::string_view x, double ratio);  // x itself when the ratio is 0
  std::string Gather(absl::string_view table, absl::string_view indices);
  std::string LayerNorm(absl::string_view x, absl::string_view scale, absl::string_view bias = "",
                        double epsilon = 1e-5);
  std::string RmsNorm(absl::string_view x, absl::string_view scale, double epsilon = 1e-5);
  std::string Attention(absl::string_view q, absl::string_view k, absl::string_view v, int64_t heads, bool causal,
                        int64_t kv_heads = 0);  // 0: as many as heads
  std::string Rotary(absl::string_view x, absl::string_view cos, absl::string_view sin, int64_t heads,
                     bool interleaved = false);
  std::string Transpose(absl::string_view x, std::vector<int64_t> perm = {});
  std::string Reshape(absl::string_view x, std::vector<int64_t> shape);
  std::vector<std::string> Split(absl::string_view x, int64_t axis, std::vector<int64_t> sizes);
  std::string Concat(std::vector<std::string> parts, int64_t axis);

  // Parameters "<name>.weight" [in, out] and, with bias, "<name>.bias" [out]; nodes "<name>" and "<name>.add".
  std::string Linear(absl::string_view name, absl::string_view x, int64_t in, int64_t out, bool bias = true,
                     double standard_deviation = 0.02);

  // Sets the loss of the model.
  void SoftmaxCrossEntropy(absl::string_view scores, absl::string_view labels, int64_t ignore_index = -100);
  // Names the scores to sample from.
  void Logits(absl::string_view value);

  // The model, checked with a micro-batch of 1. Errors are BuildGraph's.
  absl::StatusOr<proto::Model> Finish() const;

 private:
  std::string One(absl::string_view op, std::vector<std::string> inputs, const Attributes& attributes = {});

  struct State {
    proto::Model model;
    proto::DataType floats = proto::F32;
    std::string scope;
    absl::Status first_error;
  };
  std::shared_ptr<State> state_;
  std::string next_name_;
};

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_BUILDER_H_
