#include "runtime/data/permutation.h"

#include <gtest/gtest.h>

#include <vector>

namespace millrace {
namespace {

std::vector<uint64_t> Order(uint64_t n, uint64_t key, uint64_t epoch) {
  const Permutation permutation(n, key, epoch);
  std::vector<uint64_t> order;
  for (uint64_t i = 0; i < n; ++i) order.push_back(permutation(i));
  return order;
}

TEST(Permutation, VisitsEveryIndexOnce) {
  for (uint64_t n : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 255, 1000, 65537}) {
    std::vector<bool> seen(n, false);
    for (uint64_t at : Order(n, 42, 3)) {
      ASSERT_LT(at, n);
      ASSERT_FALSE(seen[at]) << "n " << n << ": index " << at << " twice";
      seen[at] = true;
    }
  }
}

TEST(Permutation, DependsOnKeyAndEpochOnly) {
  EXPECT_EQ(Order(1000, 1, 0), Order(1000, 1, 0));
  EXPECT_NE(Order(1000, 1, 0), Order(1000, 2, 0));
  EXPECT_NE(Order(1000, 1, 0), Order(1000, 1, 1));
}

TEST(Permutation, LooksRandom) {
  const std::vector<uint64_t> order = Order(4096, 7, 0);
  int fixed = 0, neighbours = 0;
  double displacement = 0;
  for (uint64_t i = 0; i < order.size(); ++i) {
    fixed += order[i] == i;
    neighbours += i > 0 && order[i] == order[i - 1] + 1;
    displacement += order[i] > i ? order[i] - i : i - order[i];
  }
  EXPECT_LT(fixed, 12);  // one is expected
  EXPECT_LT(neighbours, 12);
  EXPECT_NEAR(displacement / order.size(), 4096 / 3.0, 100);
}

TEST(Permutation, LargeDomains) {
  const Permutation permutation((uint64_t{1} << 40) + 3, 5, 5);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_LT(permutation(i), (uint64_t{1} << 40) + 3);
}

}  // namespace
}  // namespace millrace
