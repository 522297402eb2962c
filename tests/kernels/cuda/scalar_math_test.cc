// The arithmetic that CUDA kernels apply to one element, run on the host and compared with the reference's formulas.
#include "kernels/cuda/scalar_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/reference/activations.h"

namespace millrace::cuda {
namespace {

constexpr double kPoints[] = {-100, -30, -12, -6, -3.3, -1, -0.4, -1e-4, 0, 1e-30, 1e-4, 0.7, 1, 2.9, 6, 12, 30, 100};

template <typename Got, typename Want>
void Compare(const char* name, Got got, Want want) {
  for (double x : kPoints) {
    const double wanted = want(static_cast<double>(static_cast<float>(x)));
    EXPECT_NEAR(got(static_cast<float>(x)), wanted, 4e-6 * std::abs(wanted) + 3e-7) << name << " at " << x;
  }
}

TEST(ScalarMath, IsThatOfTheReference) {
  Compare("relu", Map<MapOp::kRelu>, reference::Relu);
  Compare("tanh", Map<MapOp::kTanh>, reference::Tanh);
  Compare("sigmoid", Map<MapOp::kSigmoid>, reference::Sigmoid);
  Compare("silu", Map<MapOp::kSilu>, reference::Silu);
  Compare("gelu", Map<MapOp::kGelu>, reference::Gelu);
  Compare("gelu tanh", Map<MapOp::kGeluTanh>, reference::GeluTanh);
  Compare("silu slope", Map<MapOp::kSiluGrad>, reference::SiluDerivative);
  Compare("gelu slope", Map<MapOp::kGeluGrad>, reference::GeluDerivative);
  Compare("gelu tanh slope", Map<MapOp::kGeluTanhGrad>, reference::GeluTanhDerivative);
}

TEST(ScalarMath, KeepsNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Map<MapOp::kRelu>(nan)));
  EXPECT_TRUE(std::isnan(Map<MapOp::kGelu>(nan)));
  EXPECT_EQ(Map<MapOp::kRelu>(-1.0f), 0.0f);
}

TEST(ScalarMath, ChoosesAtRunTimeWhatIsKnownAtCompileTime) {
  float x[3] = {-1.5f, 0.25f, 3.0f};
  const float gelu[3] = {Map<MapOp::kGelu>(x[0]), Map<MapOp::kGelu>(x[1]), Map<MapOp::kGelu>(x[2])};
  MapAll(MapOp::kIdentity, x);
  EXPECT_EQ(x[0], -1.5f);
  MapAll(MapOp::kGelu, x);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(x[i], gelu[i]);
}

TEST(ScalarMath, Combines) {
  EXPECT_EQ(Combine(BinaryOp::kAdd, 3.0f, 2.0f), 5.0f);
  EXPECT_EQ(Combine(BinaryOp::kSub, 3.0f, 2.0f), 1.0f);
  EXPECT_EQ(Combine(BinaryOp::kMul, 3.0f, 2.0f), 6.0f);
  EXPECT_EQ(Combine(BinaryOp::kDiv, 3.0f, 2.0f), 1.5f);
}

}  // namespace
}  // namespace millrace::cuda
