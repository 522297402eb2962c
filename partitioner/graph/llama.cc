#include "partitioner/graph/llama.h"

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/model_options.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Check(const LlamaOptions& o) {
  OptionCheck check("llama");
  check.Layers(o.layers);
  check.Size("width", o.width);
  check.Divides("heads", o.heads, "width", o.width);
  check.Require(check.status().ok() && o.width / o.heads % 2 == 0, "heads", o.heads, "width / heads must be even");
  if (o.kv_heads != 0) check.Divides("kv_heads", o.kv_heads, "heads", o.heads);
  check.Size("hidden", o.hidden);
  check.Size("vocabulary", o.vocabulary);
  check.Size("context", o.context);
  check.Require(o.sequence >= 0 && o.sequence <= o.context, "sequence", o.sequence, "must be in 1 .. context");
  check.Ratio("dropout", o.dropout);
  check.NotNegative("epsilon", o.epsilon);
  check.NotNegative("init", o.init);
  check.NotNegative("rope_theta", o.rope_theta);
  check.Require(o.rope_theta > 0, "rope_theta", o.rope_theta, "must be positive");
  check.Floats("dtype", o.dtype);
  return check.status();
}

class Llama {
 public:
  explicit Llama(const LlamaOptions& options) : o_(options), b_("llama", options.dtype) {}

  absl::StatusOr<proto::Model> Build() {
    const int64_t sequence = o_.sequence == 0 ? o_.context : o_.sequence;
    const int64_t half = o_.width / o_.heads / 2;
    const std::string tokens = b_.Input("tokens", {-1, sequence}, proto::I64, proto::Input::TOKENS);
    const std::string labels = b_.Input("labels", {-1, sequence}, proto::I64, proto::Input::LABELS);
    cos_ = b_.Table("rotary.cos", {o_.context, half}, RotaryCos(o_.rope_theta));
    sin_ = b_.Table("rotary.sin", {o_.context, half}, RotarySin(o_.rope_theta));
    const std::string table = b_.Parameter("model.embed_tokens.weight", {o_.vocabulary, o_.width}, Normal(o_.init));

    std::string x = b_.Named("model.embed_tokens").Gather(table, tokens);
    for (int64_t layer = 0; layer < o_.layers; ++layer) x = Block(layer, x);
    x = Norm("model.norm", x);

    const std::string head =
        o_.tied ? table : b_.Parameter("lm_head.weight", {o_.vocabulary, o_.width}, Normal(o_.init));
    const std::string turned = b_.Named("lm_head.transpose").Transpose(head);
    const std::string logits = b_.Named("lm_head").MatMul(x, turned);
    b_.Logits(logits);
    b_.SoftmaxCrossEntropy(logits, labels);
    return b_.Finish();
  }

 private:
  std::string Norm(const std::string& name, const std::string& x) {
    const std::string scale = b_.Parameter(absl::StrCat(name, ".weight"), {o_.width}, Ones());
    return b_.Named(name).RmsNorm(x, scale, o_.epsilon);
  }

  // Weights lie [out, in].
  std::string Project(const std::string& name, const std::string& x, int64_t in, int64_t out, bool bias) {
    const std::string weight = b_.Parameter(absl::StrCat(name, ".weight"), {out, in}, Normal(o_.init));
    const std::string turned = b_.Named(absl::StrCat(name, ".transpose")).Transpose(weight);
    const std::string y = b_.Named(name).MatMul(x, turned);
    if (!bias) return y;
    const std::string shift = b_.Parameter(absl::StrCat(name, ".bias"), {out}, Zeros());
    return b_.Named(absl::StrCat(name, ".add")).Add(y, shift);
  }

  std::string Block(int64_t layer, const std::string& x) {
    const int64_t kv_heads = o_.kv_heads == 0 ? o_.heads : o_.kv_heads;
    const int64_t kv_width = o_.width / o_.heads * kv_heads;
    b_.Scope(absl::StrCat("model.layers.", layer, "."));

    const std::string h = Norm("input_layernorm", x);
    std::string q = Project("self_attn.q_proj", h, o_.width, o_.width, o_.bias);
    std::string k = Project("self_attn.k_proj", h, o_.width, kv_width, o_.bias);
    const std::string v = Project("self_attn.v_proj", h, o_.width, kv_width, o_.bias);
    q = b_.Named("self_attn.q_rotary").Rotary(q, cos_, sin_, o_.heads, o_.interleaved);
    k = b_.Named("self_attn.k_rotary").Rotary(k, cos_, sin_, kv_heads, o_.interleaved);
    std::string branch = b_.Named("self_attn").Attention(q, k, v, o_.heads, /*causal=*/true, kv_heads);
    branch = Project("self_attn.o_proj", branch, o_.width, o_.width, o_.bias);
    branch = b_.Named("self_attn.drop").Dropout(branch, o_.dropout);
    const std::string middle = b_.Named("self_attn.residual").Add(x, branch);

    const std::string g = Norm("post_attention_layernorm", middle);
    const std::string gate = Project("mlp.gate_proj", g, o_.width, o_.hidden, false);
    const std::string up = Project("mlp.up_proj", g, o_.width, o_.hidden, false);
    const std::string active = b_.Named("mlp.act").Activation(o_.activation, gate);
    const std::string product = b_.Named("mlp.mul").Mul(active, up);
    branch = Project("mlp.down_proj", product, o_.hidden, o_.width, false);
    branch = b_.Named("mlp.drop").Dropout(branch, o_.dropout);
    const std::string y = b_.Named("mlp.residual").Add(middle, branch);
    b_.Scope("");
    return y;
  }

  const LlamaOptions& o_;
  GraphBuilder b_;
  std::string cos_, sin_;
};

}  // namespace

absl::StatusOr<proto::Model> MakeLlama(const LlamaOptions& options) {
  MR_RETURN_IF_ERROR(Check(options));
  return Llama(options).Build();
}

}  // namespace millrace
