// Work and traffic of one call, from its shapes alone.
#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "partitioner/graph/catalogue.h"

namespace millrace {
namespace {

double Elements(const TensorSpec& spec) { return static_cast<double>(spec.elements()); }

double MatrixFlops(const OpDesc& desc) {
  const std::vector<int64_t>& a = desc.input(0).dims;
  if (a.size() < 2) return 0;
  const bool trans_a = desc.attributes.Int("transA", 0) != 0;
  const double inner = static_cast<double>(a[a.size() - (trans_a ? 2 : 1)]);
  return 2 * inner * Elements(desc.output(0));
}

// Two products of T x S x D per head forward. Backward: five, one of them recomputes the scores (Dao et al. 2022).
double AttentionFlops(const OpDesc& desc, int q, double products) {
  const TensorSpec& query = desc.input(q);
  const double q_heads = desc.attributes.Int("q_num_heads", 1), kv_heads = desc.attributes.Int("kv_num_heads", 1);
  if (query.dims.size() != 3) return 0;
  const bool packed = !desc.input(q + 1).present();
  const double tokens = query.dims[1], keys = packed ? tokens : desc.input(q + 1).dims[1];
  const double width = packed ? query.columns() / (q_heads + 2 * kv_heads) * q_heads : query.columns();
  const bool causal = desc.attributes.Int("is_causal", 0) != 0;
  const double pairs = causal && tokens <= keys ? tokens * (tokens + 1) / 2 : tokens * keys;
  return 2 * products * query.dims[0] * pairs * width;
}

// Per element of the largest operand.
double ElementwiseFlops(const std::string& op) {
  static const auto* const flops = new absl::flat_hash_map<std::string, double>{{"Add", 1},
                                                                                {"Sub", 1},
                                                                                {"Mul", 1},
                                                                                {"Div", 1},
                                                                                {"Neg", 1},
                                                                                {"Relu", 1},
                                                                                {"ReluGrad", 1},
                                                                                {"Tanh", 8},
                                                                                {"TanhGrad", 3},
                                                                                {"Sigmoid", 8},
                                                                                {"SigmoidGrad", 3},
                                                                                {"Silu", 9},
                                                                                {"SiluGrad", 13},
                                                                                {"Gelu", 14},
                                                                                {"GeluGrad", 22},
                                                                                {"Dropout", 12},
                                                                                {"Cast", 1},
                                                                                {"Accumulate", 1},
                                                                                {"LayerNormalization", 8},
                                                                                {"LayerNormalizationGrad", 14},
                                                                                {"RMSNormalization", 6},
                                                                                {"RMSNormalizationGrad", 10},
                                                                                {"RotaryEmbedding", 3},
                                                                                {"GatherGrad", 1},
                                                                                {"SoftmaxCrossEntropyLoss", 8},
                                                                                {"SoftmaxCrossEntropyLossGrad", 10},
                                                                                {"Softmax", 10},
                                                                                {"SoftmaxGrad", 4},
                                                                                {"ReduceSum", 1},
                                                                                {"ReduceMean", 1},
                                                                                {"ReduceSumTo", 1},
                                                                                {"Expand", 1},
                                                                                {"AdamW", 14},
                                                                                {"SgdMomentum", 5},
                                                                                {"SquaredSums", 2}};
  const auto found = flops->find(op);
  return found == flops->end() ? 0 : found->second;
}

double LargestOperand(const OpDesc& desc) {
  double largest = 0;
  for (const TensorSpec& spec : desc.inputs) largest = std::max(largest, Elements(spec));
  for (const TensorSpec& spec : desc.outputs) largest = std::max(largest, Elements(spec));
  return largest;
}

bool Accumulates(const OpDesc& desc, int output) {
  const std::string& op = desc.op;
  if (op == "MatMulWeightGrad" || op == "Accumulate" || op == "GatherGrad") return true;
  if (op == "LayerNormalizationGrad" || op == "RMSNormalizationGrad") return output > 0;
  if (op == "LinearCrossEntropy") return output == 3;
  if (op == "AdamW" || op == "SgdMomentum") return true;
  return op == "ReduceSumTo" && desc.attributes.Int("accumulate", 0) != 0;
}

bool IsView(const std::string& op) {
  const OpEntry* entry = FindOp(op);
  return entry != nullptr && entry->view;
}

}  // namespace

double Flops(const OpDesc& desc) {
  const std::string& op = desc.op;
  if (op == "MatMul" || op == "Gemm") return MatrixFlops(desc);
  if (op == "FusedMatMul") {
    const double activation = ElementwiseFlops(
        desc.attributes.String("activation", "") == "GeluTanh" ? "Gelu" : desc.attributes.String("activation", ""));
    const double adds = (desc.input(2).present() ? 1 : 0) + (desc.input(3).present() ? 1 : 0);
    return MatrixFlops(desc) + (activation + adds) * Elements(desc.output(0));
  }
  if (op == "MatMulWeightGrad") {
    return 2 * Elements(desc.input(0)) * desc.input(1).columns() +
           (desc.output(1).present() ? Elements(desc.input(1)) : 0);
  }
  if (op == "Attention") return AttentionFlops(desc, 0, 2);
  if (op == "AttentionGrad") return AttentionFlops(desc, 1, 5);
  if (op == "LinearCrossEntropy") {
    const double products = 1 + (desc.output(2).present() ? 1 : 0) + (desc.output(3).present() ? 1 : 0);
    const TensorSpec& x = desc.input(0);
    const double classes = x.columns() == 0 ? 0 : Elements(desc.input(1)) / x.columns();
    return 2 * products * Elements(desc.input(1)) * x.rows() + 8 * classes * x.rows();
  }
  return ElementwiseFlops(op) * LargestOperand(desc);
}

double Bytes(const OpDesc& desc) {
  if (IsView(desc.op)) return 0;
  // A table is touched only where it is looked up.
  if (desc.op == "Gather") return 2.0 * desc.output(0).bytes() + desc.input(1).bytes();
  if (desc.op == "GatherGrad") return 3.0 * desc.input(0).bytes() + desc.input(1).bytes();
  double bytes = 0;
  for (const TensorSpec& spec : desc.inputs) bytes += spec.bytes();
  for (int i = 0; i < static_cast<int>(desc.outputs.size()); ++i) {
    bytes += (Accumulates(desc, i) ? 2.0 : 1.0) * desc.outputs[i].bytes();
  }
  return bytes;
}

}  // namespace millrace
