#include "partitioner/graph/catalogue.h"

#include <algorithm>
#include <climits>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/edit_distance.h"

namespace millrace {
namespace {

// Operators that a user's graph may hold.
std::vector<OpEntry> SubmittedOps() {
  const OpEntry unary = {.name = ""};
  const OpEntry binary = {.name = "", .required_inputs = 2, .max_inputs = 2};
  std::vector<OpEntry> ops;
  auto add = [&](OpEntry entry, std::vector<const char*> names) {
    for (const char* name : names) {
      entry.name = name;
      ops.push_back(entry);
    }
  };
  add(binary, {"MatMul", "Add", "Sub", "Mul", "Div"});
  add(unary, {"Neg", "Relu", "Tanh", "Sigmoid", "Silu"});
  OpEntry entry = unary;
  entry.view = true;
  add(entry, {"Identity"});
  entry.attributes = {"shape:I"};
  add(entry, {"Reshape"});
  ops.push_back({.name = "Gemm",
                 .required_inputs = 2,
                 .max_inputs = 3,
                 .attributes = {"alpha:f", "beta:f", "transA:i", "transB:i"}});
  ops.push_back({.name = "Gelu", .attributes = {"approximate:s"}});
  ops.push_back({.name = "Dropout", .attributes = {"ratio:f", "random_key:u"}, .random = true});
  ops.push_back({.name = "Cast", .attributes = {"to:i"}});
  ops.push_back(
      {.name = "LayerNormalization", .required_inputs = 2, .max_inputs = 3, .attributes = {"axis:i", "epsilon:f"}});
  ops.push_back(
      {.name = "RMSNormalization", .required_inputs = 2, .max_inputs = 2, .attributes = {"axis:i", "epsilon:f"}});
  ops.push_back({.name = "RotaryEmbedding",
                 .required_inputs = 3,
                 .max_inputs = 3,
                 .attributes = {"num_heads:i", "interleaved:i", "inverse:i"}});
  ops.push_back({.name = "Attention",
                 .required_inputs = 1,
                 .max_inputs = 3,
                 .attributes = {"q_num_heads:i", "kv_num_heads:i", "is_causal:i", "scale:f"}});
  ops.push_back({.name = "Gather", .required_inputs = 2, .max_inputs = 2, .attributes = {"axis:i"}});
  ops.push_back({.name = "SoftmaxCrossEntropyLoss",
                 .required_inputs = 2,
                 .max_inputs = 2,
                 .required_outputs = 2,
                 .max_outputs = 2,
                 .attributes = {"ignore_index:i", "reduction:s"}});
  ops.push_back({.name = "LinearCrossEntropy",
                 .required_inputs = 3,
                 .max_inputs = 3,
                 .required_outputs = 2,
                 .max_outputs = 2,
                 .attributes = {"ignore_index:i", "transB:i"}});
  ops.push_back({.name = "Transpose", .attributes = {"perm:I"}});
  ops.push_back({.name = "Split", .max_outputs = INT_MAX, .attributes = {"axis:i", "split:I", "num_outputs:i"}});
  ops.push_back({.name = "Concat", .max_inputs = INT_MAX, .attributes = {"axis:i"}});
  ops.push_back({.name = "Softmax", .attributes = {"axis:i"}});
  add({.name = "", .attributes = {"axes:I", "keepdims:i"}}, {"ReduceSum", "ReduceMean"});
  ops.push_back({.name = "Expand", .attributes = {"shape:I", "scale:f"}});
  return ops;
}

// Operators that only rewrite and autodiff make; their shapes are set where they are made.
std::vector<OpEntry> KernelOps() {
  std::vector<OpEntry> ops;
  for (const char* name :
       {"FusedMatMul", "MatMulWeightGrad", "ReluGrad", "SiluGrad", "GeluGrad", "TanhGrad", "SigmoidGrad", "Accumulate",
        "LayerNormalizationGrad", "RMSNormalizationGrad", "AttentionGrad", "GatherGrad", "SoftmaxCrossEntropyLossGrad",
        "SoftmaxGrad", "ReduceSumTo", "Fork", "AdamW", "SgdMomentum", "SquaredSums"}) {
    OpEntry entry = {.name = name, .max_inputs = INT_MAX, .max_outputs = INT_MAX, .submitted = false};
    entry.view = entry.name == "Fork";
    entry.differentiable = entry.name == "FusedMatMul" || entry.name == "Fork";
    ops.push_back(std::move(entry));
  }
  return ops;
}

const absl::flat_hash_map<std::string, OpEntry>& Table() {
  static const auto* const table = [] {
    auto* built = new absl::flat_hash_map<std::string, OpEntry>();
    for (const std::vector<OpEntry>& ops : {SubmittedOps(), KernelOps()}) {
      for (const OpEntry& entry : ops) (*built)[entry.name] = entry;
    }
    return built;
  }();
  return *table;
}

std::string Lower(absl::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Levenshtein distance.
}  // namespace

const OpEntry* FindOp(absl::string_view op) {
  const auto found = Table().find(std::string(op));
  return found == Table().end() ? nullptr : &found->second;
}

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Table()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

std::string NearestOp(absl::string_view op) {
  if (op.size() > 64) return "";
  std::string nearest;
  int least = 4;  // farther than three edits is another word
  for (const std::string& name : OpNames()) {
    if (!FindOp(name)->submitted) continue;
    const int distance = static_cast<int>(EditDistance(Lower(op), Lower(name)));
    if (distance < least && distance < static_cast<int>(name.size())) {
      least = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace millrace
