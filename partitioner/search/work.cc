#include "partitioner/search/work.h"

namespace millrace {
namespace {

// Of the 34 bytes per element that a GPT's layer holds, the two that hold masks are not read by W (Zero Bubble, table
// 1). A Llama's has none.
double ReadByWeights(const Transformer& model) { return model.family == TransformerFamily::kGpt ? 32.0 / 34.0 : 1; }

std::vector<int64_t> Divide(int64_t layers, int64_t stages) {
  std::vector<int64_t> share(stages, layers / stages);
  int64_t rest = layers % stages;
  for (int64_t s = 1; s + 1 < stages && rest > 0; ++s, --rest) ++share[s];
  if (rest > 0) ++share[0];
  return share;
}

void Add(const PhaseSeconds& each, double times, PhaseSeconds* sum) {
  sum->forward += times * each.forward;
  sum->backward_input += times * each.backward_input;
  sum->backward_weight += times * each.backward_weight;
  sum->tensor_parallel += times * each.tensor_parallel;
}

}  // namespace

const PhaseSeconds& WorkModel::Layer(const Configuration& c) {
  auto [at, fresh] = layers_.try_emplace({c.micro_batch, c.tensor_parallel, c.recompute});
  if (fresh) at->second = LayerSeconds(model_, machine_, c.micro_batch, c.tensor_parallel, c.recompute);
  return at->second;
}

const PhaseSeconds& WorkModel::Output(const Configuration& c) {
  auto [at, fresh] = outputs_.try_emplace({c.micro_batch, c.tensor_parallel});
  if (fresh) at->second = OutputSeconds(model_, machine_, c.micro_batch, c.tensor_parallel);
  return at->second;
}

const StagesWork& WorkModel::WorkOf(const Configuration& c) {
  const WorkKey key = {c.tensor_parallel, c.pipeline, c.chunks, c.micro_batch, c.recompute, c.sequence_parallel};
  if (last_work_.first != key) last_work_ = {key, MakeWork(c)};
  return last_work_.second;
}

const LinkUse& WorkModel::LinksFor(const Configuration& c) {
  const LinkKey key = {c.tensor_parallel, c.pipeline, c.replicas};
  auto& last = last_links_[c.placement == Placement::kStagesTogether];
  if (last.first != key) last = {key, LinksOf(c, machine_)};
  return last.second;
}

StagesWork WorkModel::MakeWork(const Configuration& c) {
  const double t = static_cast<double>(c.tensor_parallel), b = static_cast<double>(c.micro_batch);
  const double hidden = static_cast<double>(model_.hidden), words = static_cast<double>(model_.vocabulary);
  const double tokens = b * static_cast<double>(model_.sequence);
  const double layer_bytes = LayerActivationBytes(model_, b, t, c.sequence_parallel, c.recompute);
  const std::vector<int64_t> layers = Divide(model_.layers, c.stages());
  const PhaseSeconds layer = Layer(c);
  StagesWork work;
  work.stages.resize(layers.size());
  for (size_t s = 0; s < layers.size(); ++s) {
    StageWork& stage = work.stages[s];
    const double share = static_cast<double>(layers[s]);
    stage.layers = layers[s];
    Add(layer, share, &stage.seconds);
    stage.parameters = share * LayerParameters(model_) / t;
    stage.stash_bytes = share * layer_bytes;
    stage.weight_bytes = stage.stash_bytes * ReadByWeights(model_);
  }
  work.stages.front().parameters += EmbeddingParameters(model_) / t;
  work.stages.back().parameters += OutputParameters(model_) / t;
  if (model_.tied && work.stages.size() > 1) work.stages.back().parameters += words * hidden / t;
  Add(Output(c), 1, &work.stages.back().seconds);
  // Input of the last layer norm and of the output matrix, 2 bytes each; float32 logits.
  work.stages.back().stash_bytes += 4 * tokens * hidden / (c.sequence_parallel ? t : 1);
  work.layer_parameters = LayerParameters(model_) / t;
  work.output_bytes = 4 * tokens * words / t;
  if (c.recompute == ActivationRecompute::kFull) {
    work.remade_bytes = LayerActivationBytes(model_, b, t, c.sequence_parallel, ActivationRecompute::kNone);
  }
  return work;
}

}  // namespace millrace
