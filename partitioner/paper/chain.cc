#include "partitioner/paper/chain.h"

#include "absl/strings/str_cat.h"

namespace millrace {

PaperChain ChainOf(const Transformer& model, const PaperMachine& machine, int64_t micro_batch, int64_t tensor_parallel,
                   ActivationRecompute recompute) {
  const double t = static_cast<double>(tensor_parallel), b = static_cast<double>(micro_batch);
  const bool sequence_parallel = tensor_parallel > 1;
  const double hidden = static_cast<double>(model.hidden), words = static_cast<double>(model.vocabulary);
  const double tokens = b * static_cast<double>(model.sequence);
  PaperChain chain;
  ChainPiece layer;
  layer.seconds = LayerSeconds(model, machine, micro_batch, tensor_parallel, recompute);
  layer.parameters = LayerParameters(model) / t;
  layer.stash_bytes = LayerActivationBytes(model, b, t, sequence_parallel, recompute);
  layer.send_bytes = 2 * tokens * hidden / t;
  for (int64_t l = 0; l < model.layers; ++l) {
    layer.name = absl::StrCat("layer ", l);
    chain.pieces.push_back(layer);
  }
  chain.pieces[0].parameters += EmbeddingParameters(model) / t;
  ChainPiece output;
  output.name = "output";
  output.seconds = OutputSeconds(model, machine, micro_batch, tensor_parallel);
  output.parameters = OutputParameters(model) / t;
  // Input of the last norm and of the output matrix, 2 bytes each; float32 logits.
  output.stash_bytes = 4 * tokens * hidden / (sequence_parallel ? t : 1);
  output.moment_bytes = 4 * tokens * words / t;
  chain.pieces.push_back(output);
  if (model.tied) chain.tied_parameters = words * hidden / t;
  if (recompute == ActivationRecompute::kFull) {
    chain.remade_bytes = LayerActivationBytes(model, b, t, sequence_parallel, ActivationRecompute::kNone);
  }
  return chain;
}

}  // namespace millrace
