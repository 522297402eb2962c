// Llama (Touvron et al. 2023) as a model graph, with Hugging Face's parameter names and layouts.
#ifndef PARTITIONER_GRAPH_LLAMA_H_
#define PARTITIONER_GRAPH_LLAMA_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/model.pb.h"

namespace millrace {

// The defaults are Llama 7B.
struct LlamaOptions {
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t kv_heads = 0;  // 0: heads
  int64_t width = 4096;
  int64_t hidden = 11008;
  int64_t vocabulary = 32000;
  int64_t context = 2048;           // rows of the rotary tables
  int64_t sequence = 0;             // tokens in a sample; 0: context
  double dropout = 0;               // on both residual branches
  bool bias = false;                // of the q, k, v, o projections
  std::string activation = "silu";  // "silu", "gelu_tanh", "gelu", "relu"
  double epsilon = 1e-5;
  bool tied = false;  // output matrix = token table; else parameter lm_head.weight [vocabulary, width]
  double rope_theta = 10000;
  bool interleaved = false;  // rotate neighbours (original weights) instead of halves (Hugging Face's)
  double init = 0.02;
  // Of parameters and activations: F32, BF16 or F16. The last two are trained with float32 master copies.
  proto::DataType dtype = proto::F32;
};

// Inputs tokens and labels [-1, sequence]. INVALID_ARGUMENT names the option at fault.
absl::StatusOr<proto::Model> MakeLlama(const LlamaOptions& options);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_LLAMA_H_
