// Shapes of operators that compute: elementwise, matrices, normalisation, attention, tables, losses.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/shape_rules.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

std::vector<int64_t> LeadingDims(const TensorSpec& spec) {
  return {spec.dims.begin(), spec.dims.empty() ? spec.dims.end() : spec.dims.end() - 1};
}

absl::Status CheckLastAxis(const ShapeQuery& query) {
  const int rank = query.in(0).dims.size();
  if (rank == 0) return BadInput(query, 0, "needs at least one dimension");
  const int64_t axis = query.attributes.Int("axis", -1);
  if (axis != -1 && axis != rank - 1) return BadAttribute(query, "axis", "only the last axis is supported");
  return absl::OkStatus();
}

absl::StatusOr<TensorSpec> CastOutput(const ShapeQuery& query) {
  const int64_t to = query.attributes.Int("to", 0);
  for (DType dtype : {proto::F32, proto::F64, proto::BF16, proto::F16, proto::I32, proto::I64}) {
    if (to == dtype) return TensorSpec{dtype, query.in(0).dims};
  }
  return BadAttribute(query, "to", "must be the number of f32, f64, bf16, f16, i32 or i64");
}

absl::StatusOr<TensorSpecs> InferGemm(const ShapeQuery& query) {
  for (int i : {0, 1}) {
    if (query.in(i).dims.size() != 2) return BadInput(query, i, "must have two dimensions");
  }
  const bool trans_a = query.attributes.Int("transA", 0) != 0, trans_b = query.attributes.Int("transB", 0) != 0;
  const TensorSpec &a = query.in(0), &b = query.in(1);
  const int64_t inner = a.dims[trans_a ? 0 : 1];
  if (b.dims[trans_b ? 1 : 0] != inner) {
    return BadInput(query, 1, absl::StrCat("its inner dimension must be ", inner, ", that of input 0"));
  }
  TensorSpec y = {a.dtype, {a.dims[trans_a ? 1 : 0], b.dims[trans_b ? 0 : 1]}};
  std::vector<int64_t> broadcast;
  if (query.has(2) && (!Broadcast(query.in(2).dims, y.dims, &broadcast) || broadcast != y.dims)) {
    return BadInput(query, 2, absl::StrCat("must broadcast to ", y.ToString()));
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferRotary(const ShapeQuery& query) {
  const TensorSpec& x = query.in(0);
  const int64_t heads = query.attributes.Int("num_heads", 0);
  if (x.dims.size() != 3) return BadInput(query, 0, "must be [batch, tokens, heads * size]");
  if (heads < 1 || x.columns() % heads != 0 || x.columns() / heads % 2 != 0) {
    return BadAttribute(query, "num_heads", absl::StrCat("must divide ", x.columns(), " into heads of even size"));
  }
  for (int i : {1, 2}) {
    const std::vector<int64_t>& dims = query.in(i).dims;
    if (dims.size() != 2 || dims[0] < x.dims[1] || dims[1] != x.columns() / heads / 2) {
      return BadInput(query, i, absl::StrCat("must be [at least ", x.dims[1], ", ", x.columns() / heads / 2, "]"));
    }
  }
  return TensorSpecs{x};
}

// Packed: [B,T,(Hq+2Hkv)*D].
absl::StatusOr<TensorSpecs> InferPackedAttention(const ShapeQuery& query, int64_t q_heads, int64_t kv_heads) {
  const TensorSpec& q = query.in(0);
  if (q.columns() % (q_heads + 2 * kv_heads) != 0) {
    return BadInput(query, 0, "its last dimension must be a multiple of q_num_heads + 2 * kv_num_heads");
  }
  return TensorSpecs{{q.dtype, {q.dims[0], q.dims[1], q.columns() / (q_heads + 2 * kv_heads) * q_heads}}};
}

}  // namespace

absl::StatusOr<TensorSpecs> InferElementwise(const ShapeQuery& query) {
  if (query.op == "Cast") {
    MR_ASSIGN_OR_RETURN(TensorSpec y, CastOutput(query));
    return TensorSpecs{std::move(y)};
  }
  MR_RETURN_IF_ERROR(CheckFloats(query));
  TensorSpec y = query.in(0);
  if (query.inputs.size() == 2 && !Broadcast(query.in(0).dims, query.in(1).dims, &y.dims)) {
    return BadInput(query, 1, absl::StrCat("does not broadcast with ", query.in(0).ToString()));
  }
  if (query.op == "Softmax") MR_RETURN_IF_ERROR(CheckLastAxis(query));
  if (query.op == "Dropout") {
    const double ratio = query.attributes.Float("ratio", 0.5);
    if (!(ratio >= 0 && ratio < 1)) return BadAttribute(query, "ratio", "must be in [0, 1)");
  }
  if (query.op == "Gelu") {
    const std::string approximate = query.attributes.String("approximate", "none");
    if (approximate != "none" && approximate != "tanh") {
      return BadAttribute(query, "approximate", "must be \"none\" or \"tanh\"");
    }
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferMatrix(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  if (query.op == "Gemm") return InferGemm(query);
  for (int i : {0, 1}) {
    if (query.in(i).dims.size() < 2) return BadInput(query, i, "needs at least two dimensions");
  }
  const std::vector<int64_t>&a = query.in(0).dims, &b = query.in(1).dims;
  if (a.back() != b[b.size() - 2]) {
    return BadInput(query, 1,
                    absl::StrCat("its dimension before the last must be ", a.back(), ", the last of input 0 (",
                                 query.in(0).ToString(), ")"));
  }
  TensorSpec y = {query.in(0).dtype, {}};
  if (!Broadcast({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}, &y.dims)) {
    return BadInput(query, 1, absl::StrCat("its leading dimensions do not broadcast with ", query.in(0).ToString()));
  }
  y.dims.push_back(a[a.size() - 2]);
  y.dims.push_back(b.back());
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferNormalisation(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  MR_RETURN_IF_ERROR(CheckLastAxis(query));
  const double epsilon = query.attributes.Float("epsilon", 1e-5);
  if (!(epsilon >= 0 && epsilon < 1)) return BadAttribute(query, "epsilon", "must be in [0, 1)");
  for (int i = 1; i < static_cast<int>(query.inputs.size()); ++i) {
    if (query.has(i) && query.in(i).dims != std::vector<int64_t>{query.in(0).columns()}) {
      return BadInput(query, i, absl::StrCat("must be [", query.in(0).columns(), "]"));
    }
  }
  return TensorSpecs{query.in(0)};
}

absl::StatusOr<TensorSpecs> InferAttention(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  if (query.op == "RotaryEmbedding") return InferRotary(query);
  const int64_t q_heads = query.attributes.Int("q_num_heads", 0), kv_heads = query.attributes.Int("kv_num_heads", 0);
  constexpr int64_t kMostHeads = 1 << 20;
  if (q_heads < 1 || q_heads > kMostHeads) return BadAttribute(query, "q_num_heads", "must be at least 1");
  if (kv_heads < 1 || q_heads % kv_heads != 0) {
    return BadAttribute(query, "kv_num_heads", absl::StrCat("must divide q_num_heads = ", q_heads));
  }
  for (int i = 0; i < static_cast<int>(query.inputs.size()); ++i) {
    if (query.has(i) && query.in(i).dims.size() != 3)
      return BadInput(query, i, "must be [batch, tokens, heads * size]");
  }
  if (query.has(1) != query.has(2)) return BadInput(query, 2, "keys and values come together, or neither (packed)");
  if (!query.has(1)) return InferPackedAttention(query, q_heads, kv_heads);
  const TensorSpec &q = query.in(0), &k = query.in(1), &v = query.in(2);
  if (q.columns() % q_heads != 0) return BadInput(query, 0, "its last dimension must be a multiple of q_num_heads");
  const int64_t kv_columns = q.columns() / q_heads * kv_heads;
  if (k.dims[0] != q.dims[0] || k.columns() != kv_columns) {
    return BadInput(query, 1, absl::StrCat("must be [", q.dims[0], ", tokens, ", kv_columns, "]"));
  }
  if (query.attributes.Int("is_causal", 0) != 0 && k.dims[1] < q.dims[1]) {
    return BadInput(query, 1, "causal attention needs at least as many keys as queries");
  }
  if (v.dims != k.dims) return BadInput(query, 2, absl::StrCat("must have the shape of the keys, ", k.ToString()));
  return TensorSpecs{q};
}

absl::StatusOr<TensorSpecs> InferGather(const ShapeQuery& query) {
  if (query.attributes.Int("axis", 0) != 0) return BadAttribute(query, "axis", "only axis 0 is supported");
  if (!IsFloat(query.in(0).dtype) || query.in(0).dims.size() != 2) {
    return BadInput(query, 0, "must be a floating-point table [rows, columns]");
  }
  if (query.in(1).dtype != proto::I64) return BadInput(query, 1, "indices must be i64");
  TensorSpec y = {query.in(0).dtype, query.in(1).dims};
  y.dims.push_back(query.in(0).dims[1]);
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferLoss(const ShapeQuery& query) {
  const bool linear = query.op == "LinearCrossEntropy";
  const int labels = linear ? 2 : 1;
  const TensorSpec& scores = query.in(0);
  if (!IsFloat(scores.dtype) || scores.dims.empty()) return BadInput(query, 0, "must be floating-point [..., columns]");
  if (linear) {
    const bool trans_b = query.attributes.Int("transB", 1) != 0;
    const std::vector<int64_t>& w = query.in(1).dims;
    if (query.in(1).dtype != scores.dtype || w.size() != 2 || w[trans_b ? 1 : 0] != scores.columns()) {
      return BadInput(query, 1, absl::StrCat("must be a matrix that takes ", scores.columns(), " columns"));
    }
  }
  if (query.in(labels).dtype != proto::I64) return BadInput(query, labels, "labels must be i64");
  if (query.in(labels).dims != LeadingDims(scores)) {
    return BadInput(
        query, labels,
        absl::StrCat("labels must have the dimensions of the rows, [", absl::StrJoin(LeadingDims(scores), ","), "]"));
  }
  if (query.attributes.String("reduction", "sum") != "sum") {
    return BadAttribute(query, "reduction", "only \"sum\" is supported; the step divides by the count");
  }
  const TensorSpec scalar = {proto::F64, {}};
  return TensorSpecs{scalar, scalar};
}

}  // namespace millrace
