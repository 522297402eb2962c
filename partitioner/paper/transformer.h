// A GPT by its five numbers, or a Llama by a few more: parameters, floating-point operations and activation bytes in
// closed form.
//
// Sources: "SC21" is Narayanan et al., Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM
// (SC'21); "Korthikanti" is Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models. Letters
// as there: l layers, h hidden, a heads, s sequence, V vocabulary, b micro-batch, B global batch, t tensor-parallel
// degree. 2-byte activations, 1-byte dropout masks, an MLP of 4h. Pure functions, any thread.
//
// A Llama (Touvron et al. 2023) is counted in the same way: k the width of its keys and of its values (grouped queries:
// k = h / a times the heads of keys), f the width of its MLP with three matrices (SwiGLU); no biases, no dropout, no
// position table, scales of RMSNorm only.
#ifndef PARTITIONER_PAPER_TRANSFORMER_H_
#define PARTITIONER_PAPER_TRANSFORMER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

enum class TransformerFamily { kGpt, kLlama };

struct Transformer {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t sequence = 0;
  int64_t vocabulary = 0;
  TransformerFamily family = TransformerFamily::kGpt;
  int64_t key_value_heads = 0;  // Llama: divides the heads; 0: as many
  int64_t mlp = 0;              // Llama: f
  bool tied = true;             // the output matrix is the token table

  // Of the keys, and of the values.
  int64_t key_width() const { return key_value_heads == 0 ? hidden : hidden / heads * key_value_heads; }
};

// What the backward pass makes again. Selective: the attention's scores, softmax and product with the values, whose
// activations are large and cheap (Korthikanti, section 5). Full: the whole layer from its input.
enum class ActivationRecompute { kNone, kSelective, kFull };

absl::string_view NameOf(ActivationRecompute recompute);  // "none", "selective", "full"

absl::string_view NameOf(TransformerFamily family);  // "GPT", "Llama"

// Every number from 1 to 2^24 and heads that divide the hidden size, of keys those of queries; INVALID_ARGUMENT names
// the one at fault.
absl::Status CheckTransformer(const Transformer& model);

// SC21, equation 2: P = 12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h)). Llama: l layers, the last norm, the tables.
double Parameters(const Transformer& model);
// Of one layer: 12 h^2 + 13 h. Llama: 2 h^2 + 2 h k + 3 h f + 2 h.
double LayerParameters(const Transformer& model);
// The token and position tables: (V + s) h; Llama: V h.
double EmbeddingParameters(const Transformer& model);
// The output matrix where it is not the token table, and Llama's last norm.
double OutputParameters(const Transformer& model);

// Of one iteration over `batch` sequences, nothing counted twice. Korthikanti, equation 7:
// 72 B l s h^2 (1 + s / (6 h) + V / (12 h l)). In general, with M elements in the matrices of a layer: 6 B l s M for
// them, 12 B l s^2 h for attention, 6 B s h V for the output.
double ModelFlops(const Transformer& model, double batch);
// With what is made again. None: ModelFlops. Selective (Korthikanti, equation 8): s / (3 h) in place of s / (6 h). Full
// (SC21, equation 3): 96 B s l h^2 (1 + s / (6 h) + V / (16 l h)).
double HardwareFlops(const Transformer& model, double batch, ActivationRecompute recompute);

// Held by one layer for one micro-batch from F to B on each of t ranks. Korthikanti, table 2:
//   none s b h (10 + 24 / t + 5 a s / (h t)), with sequence parallelism (34 / t + 5 a s / (h t)); selective without the
//   last term; full 2 s b h (the layer's input, whole on every rank).
// Llama, by the same rules: 8 s b h for the inputs of two norms and of the matrices after them (divided by t with
// sequence parallelism only), and divided by t: queries and the projection's input 4 s b h, keys and values 4 s b k,
// the MLP's gate, its other half and their product 6 s b f, and the softmax 2 a s^2 b, which selective leaves out.
double LayerActivationBytes(const Transformer& model, double micro_batch, double tensor_parallel,
                            bool sequence_parallel, ActivationRecompute recompute);

}  // namespace millrace

#endif  // PARTITIONER_PAPER_TRANSFORMER_H_
