// What is decided from shapes alone: scratch, chunks, which axes are summed, how a transpose goes.
#include <gtest/gtest.h>

#include "kernels/cuda/gather_grad.h"
#include "kernels/cuda/normalization_grad.h"
#include "kernels/cuda/reduction_of.h"
#include "kernels/cuda/transpose.h"

namespace millrace::cuda {
namespace {

TEST(NormalizationGrad, ChunksCoverTheRowsAndStayFew) {
  for (const int64_t rows : {1, 15, 16, 17, 130, 16384, 16385, 1 << 20}) {
    const int64_t chunk = RowsPerChunk(rows), chunks = CeilDiv(rows, chunk);
    EXPECT_GE(chunk, kFewestRowsPerChunk);
    EXPECT_LE(chunks, kMostRowChunks);
    EXPECT_EQ(NormalizationGradScratch(rows, 768), chunks * 2 * 768 * 4);
  }
  EXPECT_EQ(NormalizationGradScratch(0, 768), 0);
}

Reduction Of(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  const auto reduction = ReductionOf(from, to, OpDesc());
  EXPECT_TRUE(reduction.ok()) << reduction.status();
  return reduction.ok() ? *reduction : Reduction();
}

TEST(Reduction, FindsTermsAndOutputs) {
  const Reduction last = Of({3, 5, 71}, {3, 5, 1});
  EXPECT_TRUE(last.within_rows);
  EXPECT_EQ(last.outputs(), 15);
  EXPECT_EQ(last.terms(), 71);
  const Reduction bias = Of({3, 5, 71}, {71});
  EXPECT_FALSE(bias.within_rows);
  EXPECT_EQ(bias.outputs(), 71);
  EXPECT_EQ(bias.terms(), 15);
  EXPECT_EQ(bias.summed.axes, 1);  // neighbouring axes are one
  const Reduction mixed = Of({2, 3, 5, 7}, {1, 5, 1});
  EXPECT_TRUE(mixed.within_rows);
  EXPECT_EQ(mixed.outputs(), 5);
  EXPECT_EQ(mixed.terms(), 42);
  EXPECT_EQ(PositionAt<uint32_t>(mixed.kept, 4).a, 4 * 7);
  EXPECT_EQ(PositionAt<uint32_t>(mixed.summed, 8).a, 35 + 1);
  const Reduction nothing = Of({3, 7}, {3, 7});
  EXPECT_EQ(nothing.outputs(), 21);
  EXPECT_EQ(nothing.terms(), 1);
  EXPECT_EQ(Of({}, {}).outputs(), 1);
  EXPECT_EQ(Of({1, 1}, {1}).terms(), 1);
  EXPECT_EQ(Of({0, 7}, {7}).terms(), 0);
  EXPECT_EQ(Of({0, 7}, {7}).sums_per_output(), 1);
}

TEST(Reduction, LongSumsAreCutByTheShapeAlone) {
  EXPECT_EQ(Of({32768}, {}).scratch_bytes(), 0);
  EXPECT_EQ(Of({32769}, {}).sums_per_output(), 2);
  EXPECT_EQ(Of({32769}, {}).scratch_bytes(), 2 * 8);
  EXPECT_EQ(Of({512, 9}, {9}).scratch_bytes(), 0);
  EXPECT_EQ(Of({1100, 9}, {9}).scratch_bytes(), 3 * 9 * 8);
}

TEST(GatherGrad, NeedsALinkPerPosition) { EXPECT_EQ(GatherGradScratch(1000), 4000); }

Walk WalkOver(std::initializer_list<Axis> axes) {
  const auto walk = WalkOf(axes, OpDesc());
  EXPECT_TRUE(walk.ok());
  return walk.ok() ? *walk : Walk();
}

TEST(Transpose, TurnsOnlyWhatMustBeTurned) {
  // [7, 71] to [71, 7]: x is dense along y's outer axis.
  EXPECT_EQ(AxisToTurn(WalkOver({{71, 1, 7}, {7, 71, 1}})), 0);
  // [2, 7, 3, 16] to [2, 3, 7, 16]: runs of 16 stay.
  const Walk heads = WalkOver({{2, 336, 336}, {3, 16, 112}, {7, 48, 16}, {16, 1, 1}});
  EXPECT_EQ(AxisToTurn(heads), -1);
  const Walk words = InWords(heads, 4);
  EXPECT_EQ(words.size[3], 4);
  EXPECT_EQ(words.a[1], 4);
  EXPECT_EQ(words.b[2], 4);
  EXPECT_EQ(words.a[3], 1);
  EXPECT_EQ(words.elements() * 4, heads.elements());
  // Nothing to do at all: one axis.
  EXPECT_EQ(AxisToTurn(WalkOver({{5, 7, 7}, {7, 1, 1}})), -1);
}

}  // namespace
}  // namespace millrace::cuda
