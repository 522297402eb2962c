// Index arithmetic and per-element arithmetic of the CUDA kernels, compiled by g++ and compared with what the operators
// are defined by.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/cuda/cast_math.h"
#include "kernels/cuda/optimizer_math.h"
#include "kernels/cuda/philox_math.h"
#include "kernels/cuda/rotary_math.h"
#include "kernels/cuda/row_column.h"
#include "kernels/random.h"

namespace millrace::cuda {
namespace {

PhiloxKey KeyOf(const Philox& philox) { return {philox.key0, philox.key1, philox.step, philox.micro_batch}; }

TEST(PhiloxMath, WordsAreThoseOfTheCommonGenerator) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{11}, ~uint64_t{0}}) {
    const Philox philox(seed, RandomKey("layer.0.dropout"), (uint64_t{3} << 33) + 5, 7);
    for (const uint64_t block : {uint64_t{0}, uint64_t{1}, uint64_t{12345}, (uint64_t{1} << 33) + 1}) {
      uint32_t words[4];
      PhiloxWords(KeyOf(philox), block, words);
      const auto wanted = philox.Block(block);
      for (int k = 0; k < 4; ++k) EXPECT_EQ(words[k], wanted[k]) << seed << " " << block << " " << k;
    }
  }
}

TEST(PhiloxMath, KeepsWhatUniformNumbersKeep) {
  const Philox philox(1, RandomKey("x"), 2, 3);
  for (const double ratio : {0.0, 0.1, 0.5, 0.9, 1 - 0x1p-24, 0x1p-24, 1.5 * 0x1p-24}) {
    const uint32_t threshold = static_cast<uint32_t>(std::ceil(ratio * 0x1p24));
    for (uint64_t i = 0; i < 1000; ++i) {
      EXPECT_EQ(IsKept(philox.Word(i), threshold), philox.Uniform(i) >= ratio) << ratio << " " << i;
    }
  }
  // Around the threshold itself.
  EXPECT_FALSE(IsKept((1u << 23) * 256 - 1, 1u << 23));
  EXPECT_TRUE(IsKept((1u << 23) * 256, 1u << 23));
}

TEST(RotaryMath, PairsWhatTheOperatorPairs) {
  for (const bool interleaved : {false, true}) {
    const int64_t batch = 2, positions = 5, heads = 3, half = 4;
    const RotaryShape shape = {batch * positions * heads * half, positions, heads, half, interleaved};
    std::vector<int> times(2 * shape.pairs, 0);
    int64_t pair = 0;
    for (int64_t row = 0; row < batch * positions; ++row) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < half; ++i, ++pair) {
          const int64_t head = (row * heads + h) * 2 * half;
          const RotaryPair at = PairAt<uint32_t>(shape, pair), wide = PairAt<uint64_t>(shape, pair);
          EXPECT_EQ(at.first, head + (interleaved ? 2 * i : i));
          EXPECT_EQ(at.second, head + (interleaved ? 2 * i + 1 : half + i));
          EXPECT_EQ(at.angle, row % positions * half + i);
          EXPECT_EQ(at.first, wide.first);
          EXPECT_EQ(at.second, wide.second);
          EXPECT_EQ(at.angle, wide.angle);
          ++times[at.first];
          ++times[at.second];
        }
      }
    }
    EXPECT_EQ(times, std::vector<int>(2 * shape.pairs, 1));
  }
}

TEST(RotaryMath, RotationAndItsInverse) {
  float x = 3, y = -2;
  const float c = std::cos(0.7f), s = std::sin(0.7f);
  Rotate(c, s, &x, &y);
  EXPECT_NEAR(x, 3 * c + 2 * s, 1e-6);
  EXPECT_NEAR(y, -2 * c + 3 * s, 1e-6);
  Rotate(c, -s, &x, &y);
  EXPECT_NEAR(x, 3, 1e-6);
  EXPECT_NEAR(y, -2, 1e-6);
}

TEST(CastMath, TruncatesAndSaturates) {
  constexpr int32_t kMost32 = std::numeric_limits<int32_t>::max(), kLeast32 = std::numeric_limits<int32_t>::min();
  constexpr int64_t kMost64 = std::numeric_limits<int64_t>::max(), kLeast64 = std::numeric_limits<int64_t>::min();
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Converted<int32_t>(2.9f), 2);
  EXPECT_EQ(Converted<int32_t>(-2.9f), -2);
  EXPECT_EQ(Converted<int32_t>(0x1p31f), kMost32);
  EXPECT_EQ(Converted<int32_t>(-0x1p31f), kLeast32);
  EXPECT_EQ(Converted<int32_t>(0x1p31f - 128), 2147483520);  // the largest float below
  EXPECT_EQ(Converted<int32_t>(2147483647.0), kMost32);
  EXPECT_EQ(Converted<int32_t>(2147483648.0), kMost32);
  EXPECT_EQ(Converted<int64_t>(0x1p63), kMost64);
  EXPECT_EQ(Converted<int64_t>(-0x1p63), kLeast64);
  EXPECT_EQ(Converted<int64_t>(1e15 + 0.5), 1000000000000000);
  EXPECT_EQ(Converted<int64_t>(infinity), kMost64);
  EXPECT_EQ(Converted<int64_t>(-infinity), kLeast64);
  EXPECT_EQ(Converted<int64_t>(infinity - infinity), 0);
  EXPECT_EQ(Converted<float>(int64_t{16777217}), 16777216.0f);  // to nearest even
  EXPECT_EQ(Converted<int32_t>((int64_t{1} << 32) + 5), 5);     // integers wrap
}

TEST(OptimizerMath, AdamWIsThatOfDoubles) {
  for (const double step : {1.0, 7.0, 100000.0}) {
    const double hyper[10] = {3e-4, 0.125, 0, step, 0.9, 0.95, 1e-8, 0.1, 0, 0};
    for (const bool decays : {false, true}) {
      const AdamWFactors f = AdamWFactorsOf(hyper, decays);
      EXPECT_FALSE(f.skip);
      float p = 1.25f, m = -0.01f, v = 0.003f;
      AdamWStep(f, 0.4f, &p, &m, &v);
      const double g = 0.4f * 0.125, dm = 0.9 * -0.01f + 0.1 * g, dv = 0.95 * 0.003f + 0.05 * g * g;
      double dp = 1.25;
      if (decays) dp -= 3e-4 * 0.1 * dp;
      dp -= 3e-4 * (dm / (1 - std::pow(0.9, step))) / (std::sqrt(dv / (1 - std::pow(0.95, step))) + 1e-8);
      EXPECT_NEAR(m, dm, 1e-9);
      EXPECT_NEAR(v, dv, 1e-9);
      EXPECT_NEAR(p, dp, 1.3e-7);
    }
  }
}

// Decay alone, thousands of times: as a factor 1 - decay, rounded to float, it would be wrong by a percent or so.
TEST(OptimizerMath, SmallDecayIsNotRoundedAway) {
  const double hyper[10] = {1e-5, 1, 0, 1000000, 0.9, 0.95, 1, 0.1, 0, 0};
  const AdamWFactors f = AdamWFactorsOf(hyper, true);
  float p = 1.5f, m = 0, v = 0;
  AdamWStep(f, 0, &p, &m, &v);
  EXPECT_EQ(p, static_cast<float>(1.5 - 1e-6 * 1.5));
}

TEST(OptimizerMath, SgdIsThatOfDoubles) {
  for (const double nesterov : {0.0, 1.0}) {
    const double hyper[10] = {0.1, 0.125, 1, 7, 0, 0, 0, 0.01, 0.9, nesterov};
    const SgdFactors f = SgdFactorsOf(hyper, true);
    EXPECT_TRUE(f.skip);
    float p = 2, u = 0.5f;
    SgdStep(f, 4, &p, &u);
    const double g = 4 * 0.125 + 0.01 * 2, du = 0.9 * 0.5 + g;
    EXPECT_NEAR(u, du, 1e-6);
    EXPECT_NEAR(p, 2 - 0.1 * (nesterov != 0 ? g + 0.9 * du : du), 1e-6);
  }
  const double hyper[10] = {0.1, 1, 0, 1, 0, 0, 0, 0.01, 0, 0};
  EXPECT_EQ(SgdFactorsOf(hyper, false).decay, 0.0f);
}

TEST(RowColumn, TakesIndicesApart) {
  for (const int64_t i : {int64_t{0}, int64_t{70}, int64_t{71}, int64_t{2147483647}}) {
    const RowColumn narrow = RowColumnOf<uint32_t>(i, 71), wide = RowColumnOf<uint64_t>(i, 71);
    EXPECT_EQ(narrow.row, i / 71);
    EXPECT_EQ(narrow.column, i % 71);
    EXPECT_EQ(wide.row, i / 71);
    EXPECT_EQ(wide.column, i % 71);
  }
  EXPECT_EQ(RowColumnOf<uint64_t>((int64_t{1} << 40) * 3 + 2, 3).row, int64_t{1} << 40);
}

}  // namespace
}  // namespace millrace::cuda
