// A multi-layer perceptron that classifies feature vectors.
#ifndef PARTITIONER_GRAPH_MLP_H_
#define PARTITIONER_GRAPH_MLP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/model.pb.h"

namespace millrace {

struct MlpOptions {
  int64_t layers = 2;  // hidden layers
  int64_t features = 64;
  int64_t width = 128;
  int64_t classes = 10;
  double dropout = 0;
  bool bias = true;
  std::string activation = "relu";  // "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"
  double init = 0;                  // standard deviation; 0: sqrt(2 / fan-in) (He et al. 2015)
  proto::DataType dtype = proto::F32;  // of parameters, features and activations: F32, BF16 or F16
};

// Inputs features [-1, features] and labels i64 [-1]. Parameters layers.<i>.weight [in, out], layers.<i>.bias,
// head.weight, head.bias. INVALID_ARGUMENT names the option at fault.
absl::StatusOr<proto::Model> MakeMlp(const MlpOptions& options);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_MLP_H_
