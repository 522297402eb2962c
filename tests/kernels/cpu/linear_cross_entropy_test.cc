#include <cmath>

#include "tests/kernels/cpu/kernel_fixture.h"

namespace millrace {
namespace {

struct Case {
  int64_t rows, width, classes;
  bool trans_b, packed, dx, dweight;
};

OpDesc DescOf(const Case& c) {
  const TensorSpec weight = c.trans_b ? F32({c.classes, c.width}) : F32({c.width, c.classes});
  OpDesc desc = {"LinearCrossEntropy", {F32({c.rows, c.width}), weight, {proto::I64, {c.rows}}}, {}, {}};
  desc.outputs = {F64Scalar(), F64Scalar(), c.dx ? F32({c.rows, c.width}) : TensorSpec(),
                  c.dweight ? weight : TensorSpec()};
  desc.attributes.SetInt("transB", c.trans_b).SetInt("packed", c.packed).SetInt("ignore_index", 5);
  return desc;
}

// Every fifth row is ignored, by an index that is also a class.
void FillLabels(const Case& c, Call* call) {
  auto* labels = static_cast<int64_t*>(call->inputs[2]->data());
  for (int64_t i = 0; i < c.rows; ++i) labels[i] = i % 5 == 4 ? 5 : (i * 31 + 6) % c.classes;
}

struct Wanted {
  double loss = 0, count = 0;
  std::vector<double> dx, dweight;  // dweight as [V,C]
};

Wanted Reference(const Case& c, Call& call) {
  Wanted want;
  want.dx.assign(c.rows * c.width, 0);
  want.dweight.assign(c.classes * c.width, 0);
  const auto* labels = static_cast<int64_t*>(call.inputs[2]->data());
  const auto weight = [&](int64_t v, int64_t k) {
    return static_cast<double>(call.input(1)[c.trans_b ? v * c.width + k : k * c.classes + v]);
  };
  for (int64_t i = 0; i < c.rows; ++i) {
    if (labels[i] == 5) continue;
    const float* x = call.input(0) + i * c.width;
    std::vector<double> scores(c.classes, 0);
    double sum = 0;
    for (int64_t v = 0; v < c.classes; ++v) {
      for (int64_t k = 0; k < c.width; ++k) scores[v] += x[k] * weight(v, k);
      sum += std::exp(scores[v]);
    }
    want.loss += std::log(sum) - scores[labels[i]];
    ++want.count;
    for (int64_t v = 0; v < c.classes; ++v) {
      const double d = std::exp(scores[v]) / sum - (v == labels[i]);
      for (int64_t k = 0; k < c.width; ++k) {
        want.dx[i * c.width + k] += d * weight(v, k);
        want.dweight[v * c.width + k] += d * x[k];
      }
    }
  }
  return want;
}

class LinearCrossEntropyTest : public testing::TestWithParam<Case> {};

TEST_P(LinearCrossEntropyTest, MatchesDoubleArithmetic) {
  const Case& c = GetParam();
  auto kernel = cpu::NewLinearCrossEntropy(DescOf(c));
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call call(DescOf(c));
  FillLabels(c, &call);
  for (int64_t i = 0; c.dweight && i < c.classes * c.width; ++i) call.output(3)[i] = 2;
  call.Run(**kernel, 2);
  ASSERT_EQ(call.status, absl::OkStatus());
  const Wanted want = Reference(c, call);
  EXPECT_NEAR(*static_cast<double*>(call.outputs[0]->data()), want.loss, 1e-5 * want.loss + 1e-6);
  EXPECT_EQ(*static_cast<double*>(call.outputs[1]->data()), want.count);
  for (int64_t i = 0; c.dx && i < c.rows * c.width; ++i) ASSERT_NEAR(call.output(2)[i], want.dx[i], 1e-5) << i;
  for (int64_t v = 0; c.dweight && v < c.classes; ++v) {
    for (int64_t k = 0; k < c.width; ++k) {
      const float got = call.output(3)[c.trans_b ? v * c.width + k : k * c.classes + v];
      ASSERT_NEAR(got, 2 + want.dweight[v * c.width + k], 2e-5) << v << "," << k;
    }
  }
}

TEST_P(LinearCrossEntropyTest, ThreadsDoNotChangeABit) {
  const Case& c = GetParam();
  auto kernel = cpu::NewLinearCrossEntropy(DescOf(c));
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call one(DescOf(c)), three(DescOf(c));
  FillLabels(c, &one);
  FillLabels(c, &three);
  one.Run(**kernel, 1);
  three.Run(**kernel, 3);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(one.OutputBytes(i), three.OutputBytes(i)) << "output " << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearCrossEntropyTest,
                         testing::Values(Case{1, 1, 6, true, false, true, true},       // smallest
                                         Case{30, 16, 65, true, false, true, true},    // one chunk, one tile
                                         Case{30, 16, 65, true, true, true, true},     // packed
                                         Case{700, 24, 1000, true, true, true, true},  // several of both, odd tails
                                         Case{700, 24, 1000, false, false, true, true},
                                         Case{700, 24, 1000, false, true, true, true},
                                         Case{520, 8, 400, true, false, false, false},   // eval
                                         Case{520, 8, 400, true, false, true, false},    // frozen weight
                                         Case{520, 8, 400, true, false, false, true}));  // frozen below

TEST(LinearCrossEntropy, HugeScoresDoNotOverflow) {
  const Case c = {4, 1, 800, true, false, true, true};
  auto kernel = cpu::NewLinearCrossEntropy(DescOf(c));
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Call call(DescOf(c));
  FillLabels(c, &call);
  for (int64_t i = 0; i < 4; ++i) call.input(0)[i] = 1000;
  for (int64_t v = 0; v < 800; ++v) call.input(1)[v] = v == 700 ? 3 : -3;
  call.Run(**kernel, 1);
  EXPECT_EQ(*static_cast<double*>(call.outputs[0]->data()), 4 * 6000.0);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(call.output(2)[i], 6.0f);
}

TEST(LinearCrossEntropy, LabelOutOfRangeIsNamed) {
  for (const int64_t bad : {-1, 65}) {
    const Case c = {30, 16, 65, true, false, true, true};
    auto kernel = cpu::NewLinearCrossEntropy(DescOf(c));
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    Call call(DescOf(c));
    FillLabels(c, &call);
    static_cast<int64_t*>(call.inputs[2]->data())[17] = bad;
    call.Run(**kernel, 1);
    EXPECT_TRUE(absl::IsInvalidArgument(call.status));
    EXPECT_NE(std::string(call.status.message()).find("label 17"), std::string::npos) << call.status;
  }
}

}  // namespace
}  // namespace millrace
