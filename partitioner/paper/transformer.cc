#include "partitioner/paper/transformer.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

struct Letters {
  explicit Letters(const Transformer& m)
      : l(static_cast<double>(m.layers)),
        h(static_cast<double>(m.hidden)),
        a(static_cast<double>(m.heads)),
        s(static_cast<double>(m.sequence)),
        v(static_cast<double>(m.vocabulary)),
        k(static_cast<double>(m.key_width())),
        f(static_cast<double>(m.mlp)) {}
  double l, h, a, s, v, k, f;
};

bool IsLlama(const Transformer& model) { return model.family == TransformerFamily::kLlama; }

// Elements of a layer's matrices.
double LayerMatrices(const Transformer& model) {
  const Letters m(model);
  return IsLlama(model) ? 2 * m.h * m.h + 2 * m.h * m.k + 3 * m.h * m.f : 12 * m.h * m.h;
}

}  // namespace

absl::string_view NameOf(ActivationRecompute recompute) {
  switch (recompute) {
    case ActivationRecompute::kNone:
      return "none";
    case ActivationRecompute::kSelective:
      return "selective";
    case ActivationRecompute::kFull:
      return "full";
  }
  return "?";
}

absl::string_view NameOf(TransformerFamily family) { return family == TransformerFamily::kLlama ? "Llama" : "GPT"; }

absl::Status CheckTransformer(const Transformer& model) {
  constexpr int64_t kMost = 1 << 24;
  const std::initializer_list<std::pair<absl::string_view, int64_t>> figures = {
      {"layers", model.layers},     {"hidden", model.hidden},         {"heads", model.heads},
      {"sequence", model.sequence}, {"vocabulary", model.vocabulary}, {"mlp", IsLlama(model) ? model.mlp : 1}};
  for (const auto& [name, value] : figures) {
    if (value >= 1 && value <= kMost) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("transformer: ", name, " is ", value, "; it must be from 1 to ", kMost));
  }
  if (model.hidden % model.heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("transformer: ", model.heads, " heads do not divide the hidden size ", model.hidden));
  }
  if (model.key_value_heads < 0 || (model.key_value_heads > 0 && model.heads % model.key_value_heads != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("transformer: ", model.key_value_heads,
                                                   " heads of keys do not divide the ", model.heads, " of queries"));
  }
  return absl::OkStatus();
}

double LayerParameters(const Transformer& model) {
  return LayerMatrices(model) + (IsLlama(model) ? 2 : 13) * static_cast<double>(model.hidden);
}

double EmbeddingParameters(const Transformer& model) {
  const Letters m(model);
  return (m.v + (IsLlama(model) ? 0 : m.s)) * m.h;
}

double OutputParameters(const Transformer& model) {
  const Letters m(model);
  return (model.tied ? 0 : m.v * m.h) + (IsLlama(model) ? m.h : 0);
}

double Parameters(const Transformer& model) {
  return static_cast<double>(model.layers) * LayerParameters(model) + EmbeddingParameters(model) +
         OutputParameters(model);
}

double ModelFlops(const Transformer& model, double batch) {
  return HardwareFlops(model, batch, ActivationRecompute::kNone);
}

double HardwareFlops(const Transformer& model, double batch, ActivationRecompute recompute) {
  const Letters m(model);
  // Forward, two backward and what is made again, 2 FLOPs each; attention's two products are as matrices of 2 s h
  // elements. (That selective recomputation doubles them is the paper's figure.)
  double passes = 6, attention_passes = 6;
  if (recompute == ActivationRecompute::kFull) passes = attention_passes = 8;
  if (recompute == ActivationRecompute::kSelective) attention_passes = 12;
  const double layers = batch * m.l * m.s * (passes * LayerMatrices(model) + attention_passes * 2 * m.s * m.h);
  return layers + 6 * batch * m.s * m.h * m.v;
}

double LayerActivationBytes(const Transformer& model, double micro_batch, double tensor_parallel,
                            bool sequence_parallel, ActivationRecompute recompute) {
  const Letters m(model);
  const double rows = m.s * micro_batch, tokens = rows * m.h;
  const double t = tensor_parallel, whole = sequence_parallel ? t : 1;
  if (recompute == ActivationRecompute::kFull) return 2 * tokens;
  const bool scores = recompute == ActivationRecompute::kNone;
  if (IsLlama(model)) {
    const double softmax = scores ? 2 * m.a * m.s : 0;
    return rows * (8 * m.h / whole + (4 * m.h + 4 * m.k + 6 * m.f + softmax) / t);
  }
  const double attention = scores ? 5 * m.a * m.s / (m.h * t) : 0;
  return tokens * (10 / whole + 24 / t + attention);
}

}  // namespace millrace
