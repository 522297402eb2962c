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
        v(static_cast<double>(m.vocabulary)) {}
  double l, h, a, s, v;
};

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

absl::Status CheckTransformer(const Transformer& model) {
  constexpr int64_t kMost = 1 << 24;
  const std::initializer_list<std::pair<absl::string_view, int64_t>> figures = {{"layers", model.layers},
                                                                                {"hidden", model.hidden},
                                                                                {"heads", model.heads},
                                                                                {"sequence", model.sequence},
                                                                                {"vocabulary", model.vocabulary}};
  for (const auto& [name, value] : figures) {
    if (value >= 1 && value <= kMost) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("transformer: ", name, " is ", value, "; it must be from 1 to ", kMost));
  }
  if (model.hidden % model.heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("transformer: ", model.heads, " heads do not divide the hidden size ", model.hidden));
  }
  return absl::OkStatus();
}

double LayerParameters(const Transformer& model) {
  const Letters m(model);
  return 12 * m.h * m.h + 13 * m.h;
}

double EmbeddingParameters(const Transformer& model) {
  const Letters m(model);
  return (m.v + m.s) * m.h;
}

double Parameters(const Transformer& model) {
  return static_cast<double>(model.layers) * LayerParameters(model) + EmbeddingParameters(model);
}

double ModelFlops(const Transformer& model, double batch) {
  return HardwareFlops(model, batch, ActivationRecompute::kNone);
}

double HardwareFlops(const Transformer& model, double batch, ActivationRecompute recompute) {
  const Letters m(model);
  const double passes = recompute == ActivationRecompute::kFull ? 96 : 72;
  const double attention = m.s / ((recompute == ActivationRecompute::kSelective ? 3 : 6) * m.h);
  const double layers = passes * batch * m.l * m.s * m.h * m.h * (1 + attention);
  return layers + 6 * batch * m.s * m.h * m.v;
}

double LayerActivationBytes(const Transformer& model, double micro_batch, double tensor_parallel,
                            bool sequence_parallel, ActivationRecompute recompute) {
  const Letters m(model);
  const double tokens = m.s * micro_batch * m.h;
  const double t = tensor_parallel;
  if (recompute == ActivationRecompute::kFull) return 2 * tokens;
  const double attention = recompute == ActivationRecompute::kSelective ? 0 : 5 * m.a * m.s / (m.h * t);
  return tokens * ((sequence_parallel ? 10 / t : 10) + 24 / t + attention);
}

}  // namespace millrace
