#include <cmath>
#include <functional>

#include "tests/kernels/cpu/kernel_fixture.h"

namespace millrace {
namespace {

// Element (i, j) of A'B' in double.
double Product(const float* a, const float* b, int64_t m, int64_t n, int64_t k, bool ta, bool tb, int64_t i,
               int64_t j) {
  double sum = 0;
  for (int64_t p = 0; p < k; ++p) {
    sum += static_cast<double>(a[ta ? p * m + i : i * k + p]) * b[tb ? j * k + p : p * n + j];
  }
  return sum;
}

struct Shape {
  int64_t m, n, k;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {7, 17, 33}, {64, 48, 80}, {129, 65, 31}, {300, 96, 64}, {513, 130, 16}};

TEST(FusedMatMul, MatchesDoubleArithmeticInEveryForm) {
  for (const Shape& s : kShapes) {
    for (int form = 0; form < 8; ++form) {
      const bool ta = form & 1, tb = form & 2, packed = form & 4;
      OpDesc desc = {
          "FusedMatMul",
          {ta ? F32({s.k, s.m}) : F32({s.m, s.k}), tb ? F32({s.n, s.k}) : F32({s.k, s.n}), F32({s.n}), F32({s.m, s.n})},
          {F32({s.m, s.n}), F32({s.m, s.n})},
          {}};
      desc.attributes.SetInt("transA", ta)
          .SetInt("transB", tb)
          .SetInt("packed", packed)
          .SetString("activation", "Silu");
      auto kernel = cpu::NewMatMul(desc);
      ASSERT_TRUE(kernel.ok()) << kernel.status();
      Call call(desc);
      call.Run(**kernel, 1);
      ASSERT_EQ(call.status, absl::OkStatus());
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          const double x = Product(call.input(0), call.input(1), s.m, s.n, s.k, ta, tb, i, j) + call.input(2)[j];
          const double y = x / (1 + std::exp(-x)) + call.input(3)[i * s.n + j];
          ASSERT_NEAR(call.output(1)[i * s.n + j], x, 2e-5) << desc.Key() << " at " << i << "," << j;
          ASSERT_NEAR(call.output(0)[i * s.n + j], y, 2e-5) << desc.Key() << " at " << i << "," << j;
        }
      }
    }
  }
}

TEST(FusedMatMul, Activations) {
  const auto gelu_tanh = [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  const std::vector<std::pair<std::string, std::function<double(double)>>> cases = {
      {"", [](double x) { return x; }},
      {"Relu", [](double x) { return x > 0 ? x : 0; }},
      {"Gelu", [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
      {"GeluTanh", gelu_tanh},
      {"Silu", [](double x) { return x / (1 + std::exp(-x)); }},
      {"Tanh", [](double x) { return std::tanh(x); }},
      {"Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
  };
  for (const auto& [name, function] : cases) {
    OpDesc desc = {"FusedMatMul", {F32({37, 40}), F32({40, 21})}, {F32({37, 21})}, {}};
    desc.attributes.SetString("activation", name);
    auto kernel = cpu::NewMatMul(desc);
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    Call call(desc);
    call.Run(**kernel, 2);
    for (int64_t i = 0; i < 37; ++i) {
      for (int64_t j = 0; j < 21; ++j) {
        const double x = Product(call.input(0), call.input(1), 37, 21, 40, false, false, i, j);
        ASSERT_NEAR(call.output(0)[i * 21 + j], function(x), 1e-5) << name << " of " << x;
      }
    }
  }
}

TEST(MatMul, BroadcastsLeadingDimensions) {
  const OpDesc desc = {"MatMul", {F32({3, 1, 5, 7}), F32({2, 7, 4})}, {F32({3, 2, 5, 4})}, {}};
  auto kernel = cpu::NewMatMul(desc);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call call(desc);
  call.Run(**kernel, 2);
  for (int64_t b0 = 0; b0 < 3; ++b0) {
    for (int64_t b1 = 0; b1 < 2; ++b1) {
      for (int64_t e = 0; e < 20; ++e) {
        const double want =
            Product(call.input(0) + b0 * 35, call.input(1) + b1 * 28, 5, 4, 7, false, false, e / 4, e % 4);
        ASSERT_NEAR(call.output(0)[(b0 * 2 + b1) * 20 + e], want, 1e-5);
      }
    }
  }
}

TEST(Gemm, ScalesAndAddsABroadcastMatrix) {
  for (const auto& c_dims : std::vector<std::vector<int64_t>>{{33}, {1}, {150, 1}, {150, 33}, {1, 33}, {}}) {
    OpDesc desc = {"Gemm", {F32({20, 150}), F32({33, 20}), F32(c_dims)}, {F32({150, 33})}, {}};
    desc.attributes.SetFloat("alpha", 0.5).SetFloat("beta", -2).SetInt("transA", 1).SetInt("transB", 1);
    auto kernel = cpu::NewMatMul(desc);
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    Call call(desc);
    call.Run(**kernel, 1);
    const bool row = c_dims.size() == 2 && c_dims[0] > 1, column = !c_dims.empty() && c_dims.back() > 1;
    const int64_t width = c_dims.empty() ? 1 : c_dims.back();
    for (int64_t i = 0; i < 150; ++i) {
      for (int64_t j = 0; j < 33; ++j) {
        const double want = 0.5 * Product(call.input(0), call.input(1), 150, 33, 20, true, true, i, j) -
                            2.0 * call.input(2)[(row ? i * width : 0) + (column ? j : 0)];
        ASSERT_NEAR(call.output(0)[i * 33 + j], want, 1e-5) << i << "," << j;
      }
    }
  }
}

TEST(MatMulWeightGrad, AddsToWhatIsThere) {
  for (const Shape& s : kShapes) {
    for (const bool transposed : {false, true}) {
      OpDesc desc = {"MatMulWeightGrad",
                     {F32({s.m, s.k}), F32({s.m, s.n})},
                     {transposed ? F32({s.n, s.k}) : F32({s.k, s.n}), F32({s.n})},
                     {}};
      desc.attributes.SetInt("transB", transposed);
      auto kernel = cpu::NewMatMulWeightGrad(desc);
      ASSERT_TRUE(kernel.ok()) << kernel.status();
      Call call(desc);
      for (int64_t i = 0; i < s.k * s.n; ++i) call.output(0)[i] = 3;
      call.Run(**kernel, 2);
      call.Run(**kernel, 2);
      for (int64_t i = 0; i < s.k; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          const double want = 3 + 2 * Product(call.input(0), call.input(1), s.k, s.n, s.m, true, false, i, j);
          ASSERT_NEAR(call.output(0)[transposed ? j * s.k + i : i * s.n + j], want, 1e-4) << desc.Key();
        }
      }
      for (int64_t j = 0; j < s.n; ++j) {
        double want = 0;
        for (int64_t i = 0; i < s.m; ++i) want += 2.0 * call.input(1)[i * s.n + j];
        ASSERT_NEAR(call.output(1)[j], want, 1e-4);
      }
    }
  }
}

TEST(MatMul, BFloat16) {
  const TensorSpec a{proto::BF16, {130, 64}}, b{proto::BF16, {64, 48}}, y{proto::BF16, {130, 48}};
  OpDesc desc = {"FusedMatMul", {a, b, {proto::BF16, {48}}, y}, {y, y}, {}};
  desc.attributes.SetString("activation", "Relu").SetInt("packed", 1);
  auto kernel = cpu::NewMatMul(desc);
  if (absl::IsUnimplemented(kernel.status())) GTEST_SKIP() << "no bf16 on this processor: " << kernel.status();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call call(desc);
  call.Run(**kernel, 2);
  const auto at = [](std::vector<std::unique_ptr<Guarded>>& held, int i, int64_t e) {
    return static_cast<float>(static_cast<BFloat16*>(held[i]->data())[e]);
  };
  for (int64_t i = 0; i < 130; ++i) {
    for (int64_t j = 0; j < 48; ++j) {
      double x = at(call.inputs, 2, j);
      for (int64_t p = 0; p < 64; ++p) x += at(call.inputs, 0, i * 64 + p) * at(call.inputs, 1, p * 48 + j);
      ASSERT_NEAR(at(call.outputs, 1, i * 48 + j), x, std::abs(x) / 200 + 1e-3);
      const double y_want = std::max(x, 0.0) + at(call.inputs, 3, i * 48 + j);
      ASSERT_NEAR(at(call.outputs, 0, i * 48 + j), y_want, std::abs(y_want) / 200 + 1e-3);
    }
  }
}

TEST(FusedMatMul, ThreadsDoNotChangeABit) {
  OpDesc desc = {"FusedMatMul", {F32({700, 100}), F32({100, 150}), F32({150})}, {F32({700, 150})}, {}};
  desc.attributes.SetString("activation", "Gelu");
  const OpDesc grad = {"MatMulWeightGrad", {F32({300, 900}), F32({300, 800})}, {F32({900, 800}), F32({800})}, {}};
  for (const OpDesc& d : {desc, grad}) {
    auto kernel = d.op == "FusedMatMul" ? cpu::NewMatMul(d) : cpu::NewMatMulWeightGrad(d);
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    Call one(d);
    one.Run(**kernel, 1);
    for (int threads : {2, 3, 8}) {
      Call many(d);
      many.Run(**kernel, threads);
      EXPECT_EQ(many.OutputBytes(0), one.OutputBytes(0)) << d.op << ", " << threads << " threads";
    }
  }
}

TEST(FusedMatMul, EqualPackKeysMeanEqualBytes) {
  const auto make = [](int64_t rows, int64_t trans_b) {
    OpDesc desc = {"FusedMatMul", {F32({rows, 96}), F32({96, 96})}, {F32({rows, 96})}, {}};
    desc.attributes.SetInt("packed", 1).SetInt("transB", trans_b);
    return desc;
  };
  const auto packed = [](const OpDesc& desc, std::string* key) {
    auto kernel = cpu::NewMatMul(desc);
    EXPECT_TRUE(kernel.ok()) << kernel.status();
    Call call(desc);
    call.Run(**kernel, 1);
    *key = (*kernel)->needs().pack_key;
    return call.packed_text;
  };
  std::string key, same_key, other_key;
  const std::string bytes = packed(make(1024, 0), &key);
  const std::string same = packed(make(512, 0), &same_key);
  const std::string other = packed(make(1024, 1), &other_key);
  EXPECT_FALSE(key.empty());
  EXPECT_EQ(key, same_key) << "calls with other rows should share one packing";
  EXPECT_EQ(bytes, same);
  EXPECT_NE(key, other_key) << "the transposed use of the same weight is another packing";
  EXPECT_NE(bytes, other);
}

TEST(FusedMatMul, WithoutItsPackedWeightsIsAnError) {
  OpDesc desc = {"FusedMatMul", {F32({8, 8}), F32({8, 8})}, {F32({8, 8})}, {}};
  desc.attributes.SetInt("packed", 1);
  auto kernel = cpu::NewMatMul(desc);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call call(desc);
  Guarded scratch((*kernel)->needs().scratch_bytes);
  KernelArgs args;
  args.inputs = call.input_addresses.data();
  args.outputs = call.output_addresses.data();
  args.scratch = scratch.data();
  CpuStream stream(1);
  EXPECT_TRUE(absl::IsFailedPrecondition((*kernel)->Run(stream, args)));
}

TEST(MatMul, DoublesAreUnimplementedAndNamed) {
  const TensorSpec f64{proto::F64, {4, 4}};
  const auto kernel = cpu::NewMatMul({"MatMul", {f64, f64}, {f64}, {}});
  EXPECT_TRUE(absl::IsUnimplemented(kernel.status()));
  EXPECT_NE(std::string(kernel.status().message()).find("f64[4,4]"), std::string::npos) << kernel.status();
}

}  // namespace
}  // namespace millrace
