// The calls whose speed is measured.
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/gpu_check/figures.h"

namespace millrace {
namespace {

using Dims = std::vector<int64_t>;

constexpr int64_t kTokens = 65536, kSequences = 64, kLength = 1024, kWidth = 768, kHeads = 12, kVocabulary = 50304;
constexpr int64_t kParameters = 124439808;

TensorSpec Of(DType dtype, Dims dims) { return {dtype, std::move(dims)}; }

class List {
 public:
  void Add(const std::string& name, const std::string& op, std::vector<TensorSpec> inputs,
           std::vector<TensorSpec> outputs, Attributes attributes = {}, double flops = 0) {
    calls_.push_back({name, {op, std::move(inputs), std::move(outputs), std::move(attributes)}, flops});
  }
  std::vector<Measured> Take() { return std::move(calls_); }

 private:
  std::vector<Measured> calls_;
};

// What reads and writes each byte once.
void AddRows(DType t, List* list) {
  const std::string type = absl::StrCat(" ", Name(t));
  const TensorSpec x = Of(t, {kTokens, kWidth}), wide = Of(t, {kTokens, 4 * kWidth}), row = Of(t, {kWidth});
  const TensorSpec statistic = Of(proto::F32, {kTokens, 1}), gradient = Of(proto::F32, {kWidth});
  list->Add("Add" + type, "Add", {wide, wide}, {wide});
  list->Add("Gelu" + type, "Gelu", {wide}, {wide});
  list->Add("GeluGrad" + type, "GeluGrad", {wide, wide}, {wide});
  list->Add("Dropout" + type, "Dropout", {wide}, {wide}, Attributes().SetInt("random_key", 7));
  list->Add("LayerNormalization" + type, "LayerNormalization", {x, row, row}, {x, statistic, statistic});
  list->Add("LayerNormalizationGrad" + type, "LayerNormalizationGrad", {x, x, row, statistic, statistic},
            {x, gradient, gradient});
  list->Add("RMSNormalization" + type, "RMSNormalization", {x, row}, {x, statistic});
  list->Add("RMSNormalizationGrad" + type, "RMSNormalizationGrad", {x, x, row, statistic}, {x, gradient});
  list->Add("Softmax" + type, "Softmax", {wide}, {wide});
  list->Add("Transpose" + type, "Transpose", {Of(t, {kSequences, kLength, kHeads, 64})},
            {Of(t, {kSequences, kHeads, kLength, 64})}, Attributes().SetInts("perm", {0, 2, 1, 3}));
  list->Add("RotaryEmbedding" + type, "RotaryEmbedding",
            {Of(t, {kSequences, kLength, kWidth}), Of(t, {kLength, 32}), Of(t, {kLength, 32})},
            {Of(t, {kSequences, kLength, kWidth})}, Attributes().SetInt("num_heads", kHeads));
  list->Add("Gather" + type, "Gather", {Of(t, {kVocabulary, kWidth}), Of(proto::I64, {kTokens})}, {x});
  list->Add("GatherGrad" + type, "GatherGrad", {x, Of(proto::I64, {kTokens})}, {Of(proto::F32, {kVocabulary, kWidth})});
  list->Add("ReduceSumTo" + type, "ReduceSumTo", {wide}, {Of(t, {4 * kWidth})});
}

void AddOptimizer(List* list) {
  const TensorSpec p = Of(proto::F32, {kParameters});
  list->Add("AdamW f32", "AdamW", {Of(proto::F64, {10})}, {p, p, p, p}, Attributes().SetInt("decay", 1));
  list->Add("Accumulate f32", "Accumulate", {p}, {p});
  list->Add("SquaredSums f32", "SquaredSums", {p}, {Of(proto::F64, {(kParameters + 4095) / 4096})},
            Attributes().SetInt("block", 4096));
  list->Add("Cast f32 to bf16", "Cast", {p}, {Of(proto::BF16, {kParameters})}, Attributes().SetInt("to", proto::BF16));
}

void AddProduct(const std::string& name, DType t, int64_t m, int64_t k, int64_t n, const Attributes& attributes,
                bool bias, bool residual, List* list) {
  const TensorSpec y = Of(t, {m, n});
  list->Add(absl::StrCat(name, " ", Name(t), " ", m, "x", k, "x", n), "FusedMatMul",
            {Of(t, {m, k}), Of(t, {k, n}), bias ? Of(t, {n}) : TensorSpec(), residual ? y : TensorSpec()}, {y},
            attributes, 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n));
}

void AddProducts(List* list) {
  for (DType t : {proto::BF16, proto::F16, proto::F32})
    AddProduct("square product", t, 8192, 8192, 8192, {}, false, false, list);
  const DType t = proto::BF16;
  AddProduct("qkv", t, kTokens, kWidth, 3 * kWidth, {}, true, false, list);
  AddProduct("up, GELU", t, kTokens, kWidth, 4 * kWidth, Attributes().SetString("activation", "GeluTanh"), true, false,
             list);
  AddProduct("down, residual", t, kTokens, 4 * kWidth, kWidth, {}, true, true, list);
  const double flops = 2.0 * kTokens * kWidth * 4 * kWidth;
  list->Add("weight gradient of up bf16", "MatMulWeightGrad", {Of(t, {kTokens, kWidth}), Of(t, {kTokens, 4 * kWidth})},
            {Of(proto::F32, {kWidth, 4 * kWidth}), Of(proto::F32, {4 * kWidth})}, {}, flops);
  list->Add("LinearCrossEntropy with gradients bf16", "LinearCrossEntropy",
            {Of(t, {kTokens, kWidth}), Of(t, {kVocabulary, kWidth}), Of(proto::I64, {kTokens})},
            {Of(proto::F64, {}), Of(proto::F64, {}), Of(t, {kTokens, kWidth}), Of(proto::F32, {kVocabulary, kWidth})},
            Attributes().SetInt("transB", 1), 6.0 * kTokens * kWidth * kVocabulary);
}

// Half of the scores count: the other half is masked.
void AddAttention(List* list) {
  const Attributes causal =
      Attributes().SetInt("q_num_heads", kHeads).SetInt("kv_num_heads", kHeads).SetInt("is_causal", 1);
  const double forward = 2.0 * 2.0 * kSequences * kLength * kLength * kWidth / 2;
  for (DType t : {proto::BF16, proto::F32}) {
    const TensorSpec y = Of(t, {kSequences, kLength, kWidth}), qkv = Of(t, {kSequences, kLength, 3 * kWidth});
    const TensorSpec lse = Of(proto::F32, {kSequences, kHeads, kLength});
    list->Add(absl::StrCat("Attention ", Name(t)), "Attention", {qkv}, {y, lse}, causal, forward);
    list->Add(absl::StrCat("AttentionGrad ", Name(t)), "AttentionGrad", {y, qkv, {}, {}, y, lse}, {qkv}, causal,
              2.5 * forward);
  }
}

}  // namespace

std::vector<Measured> WhatIsMeasured() {
  List list;
  for (DType t : {proto::F32, proto::BF16}) AddRows(t, &list);
  AddOptimizer(&list);
  AddProducts(&list);
  AddAttention(&list);
  return list.Take();
}

}  // namespace millrace
