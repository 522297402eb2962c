#include "runtime/optimizer/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/optimizer/clipping.h"

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Sum(const std::vector<double>& terms) {
  ExactSum sum;
  for (double term : terms) sum.Add(term);
  return sum.ToDouble();
}

TEST(ExactSum, OfNothingAndOfOne) {
  EXPECT_EQ(Sum({}), 0.0);
  for (double x : {1.0, -1.0, 0.1, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                   -1.7976931348623157e308, 0x1.fffffffffffffp-1022, 0x1.fffffffffffffp+63}) {
    EXPECT_EQ(Sum({x}), x) << x;
  }
}

// Multiples of a small power of two, added as integers of 128 bits; rounded by the compiler's own conversion.
TEST(ExactSum, AgreesWithWideIntegers) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    ExactSum sum;
    __int128 want = 0;
    for (int i = 0; i < 300; ++i) {
      const int shift = static_cast<int>(random() % 60);
      const int64_t mantissa = static_cast<int64_t>(random() >> 11) - (int64_t{1} << 52);
      want += static_cast<__int128>(mantissa) << shift;
      sum.Add(std::ldexp(static_cast<double>(mantissa), shift - 70));
    }
    EXPECT_EQ(sum.ToDouble(), std::ldexp(static_cast<double>(want), -70));
  }
}

TEST(ExactSum, RoundsToNearestEven) {
  EXPECT_EQ(Sum({1.0, 0x1p-53}), 1.0);
  EXPECT_EQ(Sum({1.0, 0x1p-52, 0x1p-53}), 1.0 + 0x1p-51);
  EXPECT_EQ(Sum({1.0, 0x1p-53, 0x1p-1074}), 1.0 + 0x1p-52);
  EXPECT_EQ(Sum({-1.0, -0x1p-53, -0x1p-1074}), -1.0 - 0x1p-52);
  EXPECT_EQ(Sum({2.0, -0x1p-53}), 2.0);
  EXPECT_EQ(Sum({0x1.fffffffffffffp0, 0x1p-53}), 2.0);
}

TEST(ExactSum, CancelsExactly) {
  EXPECT_EQ(Sum({1e308, 1e-308, -1e308}), 1e-308);
  EXPECT_EQ(Sum({1e16, 1.0, -1e16, 1e300, -1e300, 5e-324, -1.0}), 5e-324);
  EXPECT_EQ(Sum({-5e-324, 5e-324}), 0.0);
  EXPECT_EQ(Sum({1.7976931348623157e308, 1.7976931348623157e308, -1.7976931348623157e308}), 1.7976931348623157e308);
}

TEST(ExactSum, OverflowsToInfinity) {
  EXPECT_EQ(Sum({1.7976931348623157e308, 1.7976931348623157e308}), kInfinity);
  EXPECT_EQ(Sum({-1.7976931348623157e308, -1.7976931348623157e308}), -kInfinity);
}

TEST(ExactSum, FlagsWhatIsNotFinite) {
  ExactSum sum;
  sum.Add(1);
  EXPECT_TRUE(sum.finite());
  sum.Add(kInfinity);
  EXPECT_FALSE(sum.finite());
  EXPECT_EQ(sum.ToDouble(), kInfinity);
  sum.Add(-kInfinity);
  EXPECT_TRUE(std::isnan(sum.ToDouble()));
  EXPECT_TRUE(std::isnan(Sum({1.0, std::numeric_limits<double>::quiet_NaN()})));
  EXPECT_EQ(Sum({-kInfinity, 1e308}), -kInfinity);
}

TEST(ExactSum, EveryOrderAndEverySplitGiveTheSameBits) {
  std::mt19937_64 random(2);
  std::vector<double> terms;
  for (int i = 0; i < 2000; ++i) {
    const double mantissa = static_cast<double>(static_cast<int64_t>(random())) * 0x1p-63;
    terms.push_back(std::ldexp(mantissa, static_cast<int>(random() % 1200) - 600));
  }
  const double want = Sum(terms);
  double naive = 0;
  for (double term : terms) naive += term;
  EXPECT_NEAR(want / naive, 1, 1e-9);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(terms.begin(), terms.end(), random);
    EXPECT_EQ(Sum(terms), want);
    ExactSum parts[3], total;
    for (double term : terms) parts[random() % 3].Add(term);
    for (const ExactSum& part : parts) {
      unsigned char bytes[ExactSum::kBytes];
      part.Write(bytes);
      total.Merge(bytes);
    }
    EXPECT_EQ(total.ToDouble(), want);
  }
}

TEST(ExactSum, MergeKeepsFlagsAndNegativeParts) {
  ExactSum a, b;
  a.Add(-3);
  b.Add(1);
  unsigned char bytes[ExactSum::kBytes];
  a.Write(bytes);
  b.Merge(bytes);
  EXPECT_EQ(b.ToDouble(), -2);
  ExactSum infinite;
  infinite.Add(kInfinity);
  infinite.Write(bytes);
  b.Merge(bytes);
  EXPECT_EQ(b.ToDouble(), kInfinity);
}

TEST(Clipping, AsPyTorchDoesIt) {
  EXPECT_DOUBLE_EQ(GradientNorm(64, 4), 2);
  EXPECT_DOUBLE_EQ(ClipCoefficient(1, 2), 1 / (2 + 1e-6));
  EXPECT_DOUBLE_EQ(ClipCoefficient(1, 0.5), 1);
  EXPECT_DOUBLE_EQ(ClipCoefficient(0, 1e9), 1);
  EXPECT_DOUBLE_EQ(ClipCoefficient(1, 1), 1 / (1 + 1e-6));
}

}  // namespace
}  // namespace millrace
