// Shapes of operators that move or sum elements, the choice of rule, and what the rules share.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/catalogue.h"
#include "partitioner/graph/shape_rules.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::StatusOr<int> Axis(const ShapeQuery& query, int64_t axis, const char* attribute) {
  const int rank = query.in(0).dims.size();
  if (axis < -rank || axis >= rank) {
    return BadAttribute(query, attribute, absl::StrCat("axis ", axis, " is out of range for ", rank, " dimensions"));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

// 0 copies the dimension, one -1 takes what is left.
absl::StatusOr<TensorSpecs> InferReshape(const ShapeQuery& query) {
  const TensorSpec& x = query.in(0);
  TensorSpec y = {x.dtype, query.attributes.Ints("shape")};
  const int64_t elements = x.elements();
  int64_t known = 1;
  int inferred = -1;
  for (int i = 0; i < static_cast<int>(y.dims.size()); ++i) {
    int64_t& d = y.dims[i];
    if (d == 0 && i < static_cast<int>(x.dims.size())) d = x.dims[i];
    if (d == -1 && inferred < 0) {
      inferred = i;
      continue;
    }
    if (d < 1 || d > elements || known > elements / d) {
      return BadAttribute(query, "shape", absl::StrCat("does not fit ", x.ToString()));
    }
    known *= d;
  }
  if (inferred >= 0) y.dims[inferred] = elements / known;
  if (known * (inferred >= 0 ? y.dims[inferred] : 1) != elements) {
    return BadAttribute(query, "shape",
                        absl::StrCat("[", absl::StrJoin(query.attributes.Ints("shape"), ","), "] does not hold the ",
                                     elements, " elements of ", x.ToString()));
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferTranspose(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  const TensorSpec& x = query.in(0);
  const int rank = x.dims.size();
  std::vector<int64_t> perm = query.attributes.Ints("perm");
  if (perm.empty()) {
    for (int i = rank; i-- > 0;) perm.push_back(i);
  }
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  TensorSpec y = {x.dtype, {}};
  for (int i = 0; i < static_cast<int>(sorted.size()); ++i) {
    if (static_cast<int>(sorted.size()) != rank || sorted[i] != i) {
      return BadAttribute(query, "perm", absl::StrCat("must be a permutation of 0 .. ", rank - 1));
    }
    y.dims.push_back(x.dims[perm[i]]);
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferSplit(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  MR_ASSIGN_OR_RETURN(const int axis, Axis(query, query.attributes.Int("axis", 0), "axis"));
  const int64_t extent = query.in(0).dims[axis];
  std::vector<int64_t> sizes = query.attributes.Ints("split");
  const int64_t parts = query.attributes.Int("num_outputs", query.num_outputs);
  if (sizes.empty()) {
    if (parts != query.num_outputs) return BadAttribute(query, "num_outputs", "must be the number of outputs");
    if (extent % parts != 0) return BadAttribute(query, "num_outputs", absl::StrCat("does not divide ", extent));
    sizes.assign(parts, extent / parts);
  }
  if (static_cast<int>(sizes.size()) != query.num_outputs) {
    return BadAttribute(query, "split",
                        absl::StrCat("names ", sizes.size(), " sizes for ", query.num_outputs, " outputs"));
  }
  TensorSpecs outputs;
  int64_t left = extent;
  for (int64_t size : sizes) {
    if (size < 1 || size > left) return BadAttribute(query, "split", absl::StrCat("sizes must add up to ", extent));
    left -= size;
    outputs.push_back(query.in(0));
    outputs.back().dims[axis] = size;
  }
  if (left != 0) return BadAttribute(query, "split", absl::StrCat("sizes must add up to ", extent));
  return outputs;
}

absl::StatusOr<TensorSpecs> InferConcat(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  if (!query.attributes.Has("axis")) return BadAttribute(query, "axis", "is required");
  MR_ASSIGN_OR_RETURN(const int axis, Axis(query, query.attributes.Int("axis", 0), "axis"));
  TensorSpec y = query.in(0);
  for (int i = 1; i < static_cast<int>(query.inputs.size()); ++i) {
    std::vector<int64_t> expected = query.in(0).dims;
    if (query.in(i).dims.size() == expected.size()) expected[axis] = query.in(i).dims[axis];
    if (query.in(i).dims != expected) {
      return BadInput(query, i, absl::StrCat("must agree with ", query.in(0).ToString(), " but for axis ", axis));
    }
    y.dims[axis] += query.in(i).dims[axis];
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferReduce(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  const TensorSpec& x = query.in(0);
  const std::vector<int64_t> axes = query.attributes.Ints("axes");
  std::vector<bool> reduced(x.dims.size(), axes.empty());
  for (int64_t a : axes) {
    MR_ASSIGN_OR_RETURN(const int axis, Axis(query, a, "axes"));
    if (reduced[axis]) return BadAttribute(query, "axes", absl::StrCat("names axis ", axis, " twice"));
    reduced[axis] = true;
  }
  const bool keep = query.attributes.Int("keepdims", 1) != 0;
  TensorSpec y = {x.dtype, {}};
  for (int i = 0; i < static_cast<int>(x.dims.size()); ++i) {
    if (!reduced[i]) y.dims.push_back(x.dims[i]);
    if (reduced[i] && keep) y.dims.push_back(1);
  }
  return TensorSpecs{std::move(y)};
}

absl::StatusOr<TensorSpecs> InferExpand(const ShapeQuery& query) {
  MR_RETURN_IF_ERROR(CheckFloats(query));
  const std::vector<int64_t> shape = query.attributes.Ints("shape");
  TensorSpec y = query.in(0);
  for (int64_t d : shape) {
    if (d < 1) return BadAttribute(query, "shape", "sizes must be positive (-1 is the micro-batch)");
  }
  if (!Broadcast(query.in(0).dims, shape, &y.dims)) {
    return BadAttribute(query, "shape", absl::StrCat("does not broadcast with ", query.in(0).ToString()));
  }
  return TensorSpecs{std::move(y)};
}

using Rule = absl::StatusOr<TensorSpecs> (*)(const ShapeQuery&);

Rule FindRule(const std::string& op) {
  static const auto* const rules = [] {
    auto* table = new absl::flat_hash_map<std::string, Rule>();
    for (const char* name :
         {"Add", "Sub", "Mul", "Div", "Neg", "Relu", "Tanh", "Sigmoid", "Silu", "Gelu", "Dropout", "Cast", "Softmax"}) {
      (*table)[name] = InferElementwise;
    }
    for (const char* name : {"MatMul", "Gemm"}) (*table)[name] = InferMatrix;
    for (const char* name : {"LayerNormalization", "RMSNormalization"}) (*table)[name] = InferNormalisation;
    for (const char* name : {"RotaryEmbedding", "Attention"}) (*table)[name] = InferAttention;
    for (const char* name : {"SoftmaxCrossEntropyLoss", "LinearCrossEntropy"}) (*table)[name] = InferLoss;
    for (const char* name :
         {"Identity", "Reshape", "Transpose", "Split", "Concat", "ReduceSum", "ReduceMean", "Expand"}) {
      (*table)[name] = InferLayout;
    }
    (*table)["Gather"] = InferGather;
    return table;
  }();
  const auto found = rules->find(op);
  return found == rules->end() ? nullptr : found->second;
}

}  // namespace

const TensorSpec& ShapeQuery::in(int i) const {
  static const TensorSpec* const absent = new TensorSpec();
  return i < static_cast<int>(inputs.size()) ? inputs[i] : *absent;
}

absl::Status BadInput(const ShapeQuery& query, int input, const std::string& rule) {
  return absl::InvalidArgumentError(
      absl::StrCat(query.op, ": input ", input, " is ", query.in(input).ToString(), ": ", rule));
}

absl::Status BadAttribute(const ShapeQuery& query, const std::string& attribute, const std::string& rule) {
  return absl::InvalidArgumentError(absl::StrCat(query.op, ": attribute ", attribute, ": ", rule));
}

absl::Status CheckFloats(const ShapeQuery& query) {
  for (int i = 0; i < static_cast<int>(query.inputs.size()); ++i) {
    if (!query.has(i)) continue;
    if (!IsFloat(query.in(i).dtype)) return BadInput(query, i, "must be floating-point; put a Cast before it");
    if (query.in(i).dtype != query.in(0).dtype) {
      return BadInput(query, i, absl::StrCat("must have the type of input 0, ", std::string(Name(query.in(0).dtype))));
    }
  }
  return absl::OkStatus();
}

bool Broadcast(const std::vector<int64_t>& a, const std::vector<int64_t>& b, std::vector<int64_t>* out) {
  std::vector<int64_t> dims(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) return false;
    dims[dims.size() - 1 - i] = x == 1 ? y : x;
  }
  *out = std::move(dims);
  return true;
}

absl::StatusOr<TensorSpecs> InferLayout(const ShapeQuery& query) {
  if (query.op == "Identity") return TensorSpecs{query.in(0)};
  if (query.op == "Reshape") return InferReshape(query);
  if (query.op == "Transpose") return InferTranspose(query);
  if (query.op == "Split") return InferSplit(query);
  if (query.op == "Concat") return InferConcat(query);
  if (query.op == "Expand") return InferExpand(query);
  return InferReduce(query);
}

absl::StatusOr<std::vector<TensorSpec>> InferOutputs(absl::string_view op, const std::vector<TensorSpec>& inputs,
                                                     const Attributes& attributes, int num_outputs) {
  const ShapeQuery query = {std::string(op), inputs, attributes, num_outputs};
  const Rule rule = FindRule(query.op);
  if (rule == nullptr) return absl::InvalidArgumentError(absl::StrCat(query.op, " may not stand in a submitted graph"));
  return rule(query);
}

}  // namespace millrace
