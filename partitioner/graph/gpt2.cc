#include "partitioner/graph/gpt2.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/model_options.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Check(const Gpt2Options& o) {
  OptionCheck check("gpt2");
  check.Layers(o.layers);
  check.Size("width", o.width);
  check.Divides("heads", o.heads, "width", o.width);
  check.Require(o.hidden >= 0 && o.hidden <= int64_t{1} << 31, "hidden", o.hidden, "must be in 0 .. 2^31");
  check.Size("vocabulary", o.vocabulary);
  check.Size("context", o.context);
  check.Require(o.sequence >= 0 && o.sequence <= o.context, "sequence", o.sequence, "must be in 1 .. context");
  check.Ratio("dropout", o.dropout);
  check.NotNegative("epsilon", o.epsilon);
  check.NotNegative("init", o.init);
  check.Floats("dtype", o.dtype);
  return check.status();
}

class Gpt2 {
 public:
  explicit Gpt2(const Gpt2Options& options) : o_(options), b_("gpt2", options.dtype) {}

  absl::StatusOr<proto::Model> Build() {
    const int64_t sequence = o_.sequence == 0 ? o_.context : o_.sequence;
    const std::string tokens = b_.Input("tokens", {-1, sequence}, proto::I64, proto::Input::TOKENS);
    const std::string labels = b_.Input("labels", {-1, sequence}, proto::I64, proto::Input::LABELS);
    const std::string wte = b_.Parameter("wte.weight", {o_.vocabulary, o_.width}, Normal(o_.init));
    const std::string wpe = b_.Parameter("wpe.weight", {o_.context, o_.width}, Normal(o_.init));
    const std::string positions = b_.Table("positions", {sequence}, Iota(), proto::I64);

    const std::string token_rows = b_.Named("wte").Gather(wte, tokens);
    const std::string position_rows = b_.Named("wpe").Gather(wpe, positions);
    std::string x = b_.Named("embed").Add(token_rows, position_rows);
    x = b_.Named("drop").Dropout(x, o_.dropout);
    for (int64_t layer = 0; layer < o_.layers; ++layer) x = Block(layer, x);
    x = Norm("ln_f", x);

    const std::string head = o_.tied ? wte : b_.Parameter("lm_head.weight", {o_.vocabulary, o_.width}, Normal(o_.init));
    const std::string turned = b_.Named("lm_head.transpose").Transpose(head);
    const std::string logits = b_.Named("lm_head").MatMul(x, turned);
    b_.Logits(logits);
    b_.SoftmaxCrossEntropy(logits, labels);
    return b_.Finish();
  }

 private:
  std::string Norm(const std::string& name, const std::string& x) {
    const std::string scale = b_.Parameter(absl::StrCat(name, ".weight"), {o_.width}, Ones());
    const std::string shift = o_.bias ? b_.Parameter(absl::StrCat(name, ".bias"), {o_.width}, Zeros()) : "";
    return b_.Named(name).LayerNorm(x, scale, shift, o_.epsilon);
  }

  std::string Block(int64_t layer, const std::string& x) {
    const int64_t width = o_.width, hidden = o_.hidden == 0 ? 4 * width : o_.hidden;
    const double residual_init = o_.init / std::sqrt(2.0 * static_cast<double>(o_.layers));
    b_.Scope(absl::StrCat("h.", layer, "."));

    const std::string qkv = b_.Linear("attn.c_attn", Norm("ln_1", x), width, 3 * width, o_.bias, o_.init);
    const std::vector<std::string> parts = b_.Named("attn.split").Split(qkv, 2, {width, width, width});
    std::string branch = b_.Named("attn").Attention(parts[0], parts[1], parts[2], o_.heads, /*causal=*/true);
    branch = b_.Linear("attn.c_proj", branch, width, width, o_.bias, residual_init);
    branch = b_.Named("attn.drop").Dropout(branch, o_.dropout);
    const std::string middle = b_.Named("attn.residual").Add(x, branch);

    branch = b_.Linear("mlp.c_fc", Norm("ln_2", middle), width, hidden, o_.bias, o_.init);
    branch = b_.Named("mlp.act").Activation(o_.activation, branch);
    branch = b_.Linear("mlp.c_proj", branch, hidden, width, o_.bias, residual_init);
    branch = b_.Named("mlp.drop").Dropout(branch, o_.dropout);
    const std::string y = b_.Named("mlp.residual").Add(middle, branch);
    b_.Scope("");
    return y;
  }

  const Gpt2Options& o_;
  GraphBuilder b_;
};

}  // namespace

absl::StatusOr<proto::Model> MakeGpt2(const Gpt2Options& options) {
  MR_RETURN_IF_ERROR(Check(options));
  return Gpt2(options).Build();
}

}  // namespace millrace
