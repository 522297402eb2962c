// The Highway kernels against the reference backend, on sizes that leave tails.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/kernels/cpu/compare_with_reference.h"

namespace millrace {
namespace {

TEST(AgainstReference, Unary) {
  for (const char* op : {"Neg", "Relu", "Tanh", "Sigmoid", "Silu", "Gelu", "Identity"}) {
    for (int64_t n : {1, 15, 33, 70001}) {
      for (double spread : {0.3, 12.0, 100.0}) Compare({Op(op, {F32({n})}, {F32({n})}), spread, 1, 5e-7, {}, 1});
    }
  }
  OpDesc gelu = Op("Gelu", {F32({3, 1001})}, {F32({3, 1001})});
  gelu.attributes.SetString("approximate", "tanh");
  for (double spread : {1.0, 12.0, 100.0}) Compare({gelu, spread});
}

TEST(AgainstReference, UnaryGradients) {
  for (const char* op : {"ReluGrad", "TanhGrad", "SigmoidGrad", "SiluGrad", "GeluGrad"}) {
    for (const char* approximate : {"none", "tanh"}) {
      OpDesc desc = Op(op, {F32({7, 93}), F32({7, 93})}, {F32({7, 93})});
      if (desc.op == "GeluGrad") desc.attributes.SetString("approximate", approximate);
      Compare({desc, 4});
      Compare({desc, 60});
    }
  }
}

TEST(AgainstReference, Binary) {
  using Dims = std::vector<int64_t>;
  struct Shapes {
    Dims a, b, y;
  };
  const Shapes all[] = {{{5, 77}, {5, 77}, {5, 77}},
                        {{5, 77}, {}, {5, 77}},
                        {{1}, {5, 77}, {5, 77}},
                        {{4, 5, 77}, {77}, {4, 5, 77}},
                        {{3, 5, 17}, {5, 17}, {3, 5, 17}},
                        {{3, 5, 17}, {3, 5, 1}, {3, 5, 17}},
                        {{3, 1, 17}, {1, 5, 1}, {3, 5, 17}},
                        {{2, 1, 3, 1}, {4, 1, 5}, {2, 4, 3, 5}},
                        {{}, {}, {}},
                        {{2, 40000}, {40000}, {2, 40000}},
                        {{0, 3}, {3}, {0, 3}}};
  for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
    for (const Shapes& s : all) Compare({Op(op, {F32(s.a), F32(s.b)}, {F32(s.y)})});
  }
  Compare({Op("Mul", {F64({3, 5}), F64({5})}, {F64({3, 5})}), 3, 1, 1e-15});
}

TEST(AgainstReference, CastAccumulateDropout) {
  const DType types[] = {proto::F32, proto::F64, proto::BF16, proto::I32, proto::I64};
  for (DType from : types) {
    for (DType to : types) {
      OpDesc desc = Op("Cast", {{from, {3, 21}}}, {{to, {3, 21}}});
      desc.attributes.SetInt("to", to);
      Compare({desc, 100, 1000, 0});
    }
  }
  Compare({Op("Accumulate", {F32({40001})}, {F32({40001})})});
  Compare({Op("Accumulate", {F64({})}, {F64({})}), 3, 1, 1e-15});
  OpDesc dropout = Op("Dropout", {F32({3, 33333})}, {F32({3, 33333})});
  dropout.attributes.SetFloat("ratio", 0.1).SetBits("random_key", 0x123456789abcdef0u);
  Compare({dropout, 3, 1, 2e-7});
}

TEST(AgainstReference, Normalization) {
  for (int64_t n : {1, 5, 48, 77, 768}) {
    for (int64_t rows : {1, 3, 100}) {
      const TensorSpec x = F32({rows, n}), c = F32({n}), s = F32({rows, 1});
      Compare({Op("LayerNormalization", {x, c, c}, {x, s, s})});
      Compare({Op("LayerNormalization", {x, c}, {x})});
      Compare({Op("RMSNormalization", {x, c}, {x, s})});
      if (n == 1) continue;  // the gradient is 0 but for rounding
      Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x, c, c}), 3, 1, 4e-6});
      Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x}), 3, 1, 4e-6});
      Compare({Op("RMSNormalizationGrad", {x, x, c, s}, {x, c}), 3, 1, 4e-6});
    }
  }
}

TEST(AgainstReference, SoftmaxAndCrossEntropy) {
  for (int64_t n : {1, 7, 50, 1003}) {
    const TensorSpec x = F32({2, 9, n}), labels = I64({2, 9});
    Compare({Op("Softmax", {x}, {x}), 20});
    Compare({Op("SoftmaxGrad", {x, x}, {x})});
    Compare({Op("SoftmaxCrossEntropyLoss", {x, labels}, {F64({}), F64({})}), 20, n, 1e-6});
    OpDesc grad = Op("SoftmaxCrossEntropyLossGrad", {x, labels}, {x});
    grad.attributes.SetInt("ignore_index", 0);
    Compare({grad, 20, n});
  }
}

TEST(AgainstReference, Attention) {
  for (bool grad : {false, true}) {
    const double tolerance = grad ? 6e-6 : 3e-6;
    for (bool causal : {false, true}) {
      for (bool packed : {false, true}) {
        Compare({Attention(2, 70, 70, 2, 2, 8, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(1, 130, 130, 4, 2, 33, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(1, 64, 64, 3, 1, 64, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(3, 5, 5, 1, 1, 2, causal, packed, grad), 2, 1, tolerance});
        Compare({Attention(9, 2, 2, 4, 2, 1, causal, packed, grad), 2, 1, tolerance});
      }
      Compare({Attention(1, 80, 150, 2, 1, 17, causal, false, grad), 2, 1, tolerance});
    }
    Compare({Attention(1, 7, 3, 2, 1, 5, false, false, grad), 2, 1, tolerance});
  }
}

TEST(AgainstReference, RotaryAndGather) {
  for (int interleaved : {0, 1}) {
    for (int inverse : {0, 1}) {
      OpDesc desc = Op("RotaryEmbedding", {F32({2, 5, 3 * 34}), F32({6, 17}), F32({6, 17})}, {F32({2, 5, 3 * 34})});
      desc.attributes.SetInt("num_heads", 3).SetInt("interleaved", interleaved).SetInt("inverse", inverse);
      Compare({desc});
    }
  }
  Compare({Op("Gather", {F32({11, 37}), I64({3, 9})}, {F32({3, 9, 37})}), 3, 11, 0});
  Compare({Op("GatherGrad", {F32({3, 9, 307}), I64({3, 9})}, {F32({11, 307})}), 3, 11});
}

TEST(AgainstReference, Shape) {
  const auto transpose = [](std::vector<int64_t> dims, std::vector<int64_t> perm, DType dtype) {
    std::vector<int64_t> out;
    for (int64_t p : perm) out.push_back(dims[p]);
    OpDesc desc = Op("Transpose", {{dtype, dims}}, {{dtype, out}});
    desc.attributes.SetInts("perm", perm);
    Compare({desc, 3, 7, 0});
  };
  for (DType dtype : {proto::F32, proto::F64, proto::BF16, proto::I64}) {
    transpose({37, 45}, {1, 0}, dtype);
    transpose({2, 3, 4, 5}, {0, 2, 1, 3}, dtype);
    transpose({2, 3, 4, 5}, {3, 1, 0, 2}, dtype);
    transpose({2, 3, 4, 5}, {0, 1, 3, 2}, dtype);
    transpose({2, 1, 4}, {1, 0, 2}, dtype);
    transpose({1, 1}, {1, 0}, dtype);
  }
  for (int64_t axis : {0, 1, -1}) {
    std::vector<int64_t> whole = {6, 6, 6}, first = whole, second = whole;
    const int64_t at = axis < 0 ? axis + 3 : axis;
    first[at] = 1;
    second[at] = 5;
    OpDesc split = Op("Split", {F32(whole)}, {F32(first), F32(second)});
    split.attributes.SetInt("axis", axis);
    Compare({split, 3, 1, 0});
    OpDesc concat = Op("Concat", {F32(first), F32(second)}, {F32(whole)});
    concat.attributes.SetInt("axis", axis);
    Compare({concat, 3, 1, 0});
  }
  for (const std::vector<int64_t>& from : {std::vector<int64_t>{1}, {}, {3, 1, 19}, {5, 1}, {19}, {3, 5, 19}}) {
    OpDesc expand = Op("Expand", {F32(from)}, {F32({3, 5, 19})});
    expand.attributes.SetFloat("scale", 0.25);
    Compare({expand, 3, 1, 1e-7});
  }
  Compare({Op("Fork", {F32({3, 5})}, {F32({3, 5}), F32({3, 5})}), 3, 1, 0});
  Compare({Op("Reshape", {F32({3, 5})}, {F32({15})}), 3, 1, 0});
}

TEST(AgainstReference, Reduce) {
  const std::vector<int64_t> dims = {4, 3, 70, 33};
  for (const std::vector<int64_t>& axes :
       {std::vector<int64_t>{}, {0}, {1}, {2}, {3}, {-1, 0}, {1, 2}, {0, 2}, {1, 3}, {0, 1, 2}}) {
    for (const char* op : {"ReduceSum", "ReduceMean"}) {
      std::vector<int64_t> out = axes.empty() ? std::vector<int64_t>(4, 1) : dims;
      for (int64_t a : axes) out[a < 0 ? a + 4 : a] = 1;
      OpDesc desc = Op(op, {F32(dims)}, {F32(out)});
      desc.attributes.SetInts("axes", axes);
      Compare({desc});
      if (axes.empty()) Compare({Op(op, {F64(dims)}, {F64(out)}), 3, 1, 1e-12});
    }
  }
  for (const std::vector<int64_t>& to :
       {std::vector<int64_t>{}, {33}, {3, 1, 33}, {70, 33}, {4, 1, 1, 33}, {1}, {3, 70, 1}}) {
    for (int accumulate : {0, 1}) {
      OpDesc desc = Op("ReduceSumTo", {F32(dims)}, {F32(to)});
      desc.attributes.SetInt("accumulate", accumulate);
      Compare({desc});
    }
  }
}

TEST(AgainstReference, Optimizer) {
  const TensorSpec p = F32({40003});
  for (double skip : {0.0, 1.0}) {
    for (int decay : {0, 1}) {
      OpDesc adam = Op("AdamW", {F64({10})}, {p, p, p, p});
      adam.attributes.SetInt("decay", decay);
      Compare({adam, 1, 1, 1e-6, {1e-3, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 0}});
      OpDesc sgd = Op("SgdMomentum", {F64({10})}, {p, p, p});
      sgd.attributes.SetInt("decay", decay);
      Compare({sgd, 1, 1, 1e-6, {1e-1, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 0}});
      Compare({sgd, 1, 1, 1e-6, {1e-1, 0.1, skip, 7, 0.9, 0.95, 1e-8, 0.1, 0.9, 1}});
    }
  }
  OpDesc sums = Op("SquaredSums", {p}, {F64({40})});
  sums.attributes.SetInt("block", 1024);
  Compare({sums, 3, 1, 1e-14});
}

}  // namespace
}  // namespace millrace
