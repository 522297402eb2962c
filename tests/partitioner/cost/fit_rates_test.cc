// Rates recovered from times made with known ones.
#include "partitioner/cost/fit_rates.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr double kMatmul = 150e9, kAttention = 80e9, kOther = 9e9, kBytes = 11e9, kCall = 2e-6;

void AddCall(const char* op, double rate, double flops, double bytes, double disturbed, proto::CostTable* table) {
  proto::KernelCost& kernel = *table->add_kernels();
  kernel.set_key(absl::StrCat(op, "(", table->kernels_size(), ")->(){}"));
  kernel.set_flops(flops);
  kernel.set_bytes(static_cast<uint64_t>(bytes));
  kernel.set_seconds(disturbed * (kCall + std::max(flops / rate, bytes / kBytes)));
}

// Calls of every family, small, bound by arithmetic and bound by memory; every `bad`-th takes three times as long.
proto::CostTable Synthetic(int bad) {
  proto::CostTable table;
  for (int i = 1; i <= 40; ++i) {
    const double disturbed = bad > 0 && i % bad == 0 ? 3 : 1;
    AddCall("MatMul", kMatmul, 1e8 * i, 1e6 * i, disturbed, &table);
    AddCall("Attention", kAttention, 5e7 * i, 1e6 * i, disturbed, &table);
    AddCall("Gelu", kOther, 1e7 * i, 2e6 * i, disturbed, &table);
    AddCall("Add", kOther, 1e5 * i, 3e6 * i, disturbed, &table);
  }
  AddCall("Add", kOther, 16, 64, 1, &table);
  return table;
}

TEST(FitRates, RecoversTheRoofline) {
  proto::CostTable table = Synthetic(0);
  FitRates(&table);
  EXPECT_NEAR(table.alone().call_seconds(), kCall, 0.01 * kCall);
  EXPECT_NEAR(table.alone().matmul_flops_per_second(), kMatmul, 0.01 * kMatmul);
  EXPECT_NEAR(table.alone().attention_flops_per_second(), kAttention, 0.01 * kAttention);
  EXPECT_NEAR(table.alone().other_flops_per_second(), kOther, 0.01 * kOther);
  EXPECT_NEAR(table.alone().bytes_per_second(), kBytes, 0.01 * kBytes);
  EXPECT_EQ(table.alone().kernels(), 161);
  EXPECT_EQ(table.shared().kernels(), 0);
}

TEST(FitRates, OneInFiveDisturbedChangesLittle) {
  proto::CostTable table = Synthetic(5);
  FitRates(&table);
  EXPECT_NEAR(table.alone().matmul_flops_per_second(), kMatmul, 0.05 * kMatmul);
  EXPECT_NEAR(table.alone().attention_flops_per_second(), kAttention, 0.05 * kAttention);
  EXPECT_NEAR(table.alone().bytes_per_second(), kBytes, 0.05 * kBytes);
}

TEST(FitRates, SharedTimesHaveRatesOfTheirOwn) {
  proto::CostTable table = Synthetic(0);
  for (proto::KernelCost& kernel : *table.mutable_kernels()) kernel.set_seconds_shared(2 * kernel.seconds());
  FitRates(&table);
  EXPECT_NEAR(table.shared().matmul_flops_per_second(), kMatmul / 2, 0.01 * kMatmul);
  EXPECT_NEAR(table.shared().bytes_per_second(), kBytes / 2, 0.01 * kBytes);
}

TEST(FitRates, NothingKnownStaysNothing) {
  proto::CostTable table;
  FitRates(&table);
  EXPECT_EQ(table.alone().matmul_flops_per_second(), 0);
  AddCall("Add", kOther, 1e5, 3e6, 1, &table);
  FitRates(&table);
  EXPECT_EQ(table.alone().matmul_flops_per_second(), 0);
  EXPECT_GT(table.alone().bytes_per_second(), 0);
}

}  // namespace
}  // namespace millrace
