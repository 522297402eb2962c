// GPT-2 (Radford et al. 2019) as a model graph, with Hugging Face's parameter names and layouts.
#ifndef PARTITIONER_GRAPH_GPT2_H_
#define PARTITIONER_GRAPH_GPT2_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/model.pb.h"

namespace millrace {

// The defaults are the 124M model.
struct Gpt2Options {
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t width = 768;
  int64_t hidden = 0;  // of the MLP; 0: 4 * width
  int64_t vocabulary = 50257;
  int64_t context = 1024;  // rows of the position table
  int64_t sequence = 0;    // tokens in a sample; 0: context
  double dropout = 0;
  bool bias = true;
  std::string activation = "gelu_tanh";  // "gelu_tanh", "gelu", "relu", "silu"
  double epsilon = 1e-5;
  bool tied = true;    // output matrix = token table; else parameter lm_head.weight [vocabulary, width]
  double init = 0.02;  // residual projections: init / sqrt(2 * layers), as in the paper
  // Of parameters and activations: F32, BF16 or F16. The last two are trained with float32 master copies.
  proto::DataType dtype = proto::F32;
};

// Inputs tokens and labels [-1, sequence]. INVALID_ARGUMENT names the option at fault.
absl::StatusOr<proto::Model> MakeGpt2(const Gpt2Options& options);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_GPT2_H_
