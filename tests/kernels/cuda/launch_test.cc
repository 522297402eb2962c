#include "kernels/cuda/launch.h"

#include <gtest/gtest.h>

#include "kernels/axes.h"
#include "kernels/cuda/walk.h"
#include "kernels/cuda/walk_axes.h"

namespace millrace::cuda {
namespace {

TEST(Launch, NothingIsLaunchedForNothing) {
  EXPECT_TRUE(ForElements(0, 4).empty());
  EXPECT_TRUE(ForRows(0, 768, 4).launch.empty());
  EXPECT_FALSE(ForElements(1, 8).empty());
}

TEST(Launch, GridCoversTheElementsOnceOrStrides) {
  for (const int64_t n : {int64_t{1}, int64_t{1023}, int64_t{1024}, int64_t{1025}, int64_t{1} << 30}) {
    const Launch at = ForElements(n, 4);
    EXPECT_GE(at.blocks * at.threads * 4, n);
    EXPECT_LT((at.blocks - 1) * at.threads * 4, n);
  }
  EXPECT_EQ(ForElements(int64_t{1} << 42, 4).blocks, kMostStridingBlocks);
}

TEST(Launch, RowsGoToAWarpOrABlockByTheirLengthAlone) {
  EXPECT_EQ(ForRows(7, 1, 4).threads_per_row, kWarp);
  EXPECT_EQ(ForRows(7, 512, 4).threads_per_row, kWarp);
  EXPECT_EQ(ForRows(7, 512, 4).rows_per_block(), 4);
  EXPECT_EQ(ForRows(7, 512, 4).launch.blocks, 2);
  for (const int64_t columns : {768, 4096, 50257, 1 << 20}) {
    const RowLaunch few = ForRows(3, columns, 4), many = ForRows(int64_t{1} << 40, columns, 4);
    EXPECT_EQ(few.threads_per_row, many.threads_per_row) << columns;
    EXPECT_EQ(few.launch.threads, few.threads_per_row);
    EXPECT_EQ(few.launch.threads % kWarp, 0);
    EXPECT_LE(few.launch.threads, kMostThreads);
    EXPECT_EQ(few.launch.blocks, 3);
    EXPECT_LE(many.launch.blocks, kMostGridX);
  }
}

TEST(Launch, WideAccessesNeedAlignedAddressesAndRows) {
  EXPECT_EQ(VectorElements(4, {256, 512}), 4);
  EXPECT_EQ(VectorElements(2, {256, 16}), 8);
  EXPECT_EQ(VectorElements(2, {256, 2}), 1);
  EXPECT_EQ(VectorElements(4, {256, 768 * 4}), 4);
  EXPECT_EQ(VectorElements(4, {256, 71 * 4}), 1);
}

TEST(Walk, FindsTheOperandsOfBroadcasting) {
  const std::vector<int64_t> a = {2, 1, 7, 1}, b = {3, 1, 5}, y = {2, 3, 7, 5};
  const auto walk = BroadcastWalk(a, b, y, OpDesc());
  ASSERT_TRUE(walk.ok());
  EXPECT_EQ(walk->elements(), 210);
  int64_t element = 0;
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      for (int64_t k = 0; k < 7; ++k) {
        for (int64_t l = 0; l < 5; ++l, ++element) {
          const WalkPosition narrow = PositionAt<uint32_t>(*walk, element), wide = PositionAt<uint64_t>(*walk, element);
          EXPECT_EQ(narrow.a, i * 7 + k);
          EXPECT_EQ(narrow.b, j * 5 + l);
          EXPECT_EQ(wide.a, narrow.a);
          EXPECT_EQ(wide.b, narrow.b);
        }
      }
    }
  }
}

TEST(Walk, RefusesMoreAxesThanAKernelCanTake) {
  std::vector<int64_t> a(10, 2), b(10, 2), y(10, 2);
  for (int i = 0; i < 10; i += 2) a[i] = 1;
  EXPECT_EQ(BroadcastWalk(a, b, y, OpDesc()).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(BroadcastWalk(b, b, y, OpDesc())->axes, 1);
  EXPECT_EQ(BroadcastWalk({}, {}, {}, OpDesc())->elements(), 1);
}

}  // namespace
}  // namespace millrace::cuda
