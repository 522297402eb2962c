#include "partitioner/cost/cost_model.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

OpDesc MatMul(int64_t n) {
  OpDesc desc;
  desc.op = "MatMul";
  desc.inputs = {{proto::F32, {n, n}}, {proto::F32, {n, n}}};
  desc.outputs = {{proto::F32, {n, n}}};
  return desc;
}

proto::Cluster TwoDevices() {
  proto::Cluster cluster;
  cluster.add_devices()->set_name("cpu:0");
  cluster.add_devices()->set_name("cpu:1");
  return cluster;
}

TEST(CostModelTest, RooflineOfArithmeticAndMemory) {
  const CostModel model(TwoDevices(), proto::CostTable());
  // Large: 2 n^3 operations at 200 GFLOP/s. Small: three operands at 16 GB/s are next to nothing beside the call.
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 0), 0.01, 1e-4);
  EXPECT_NEAR(model.CallSeconds(MatMul(2), "", 0), 1e-6, 1e-7);
  OpDesc add;
  add.op = "Add";
  add.inputs = {{proto::F32, {1000000}}, {proto::F32, {1000000}}};
  add.outputs = {{proto::F32, {1000000}}};
  EXPECT_NEAR(model.CallSeconds(add, "", 0), 0.75e-3, 1e-5);
}

TEST(CostModelTest, DevicesFieldsWin) {
  proto::Cluster cluster = TwoDevices();
  cluster.mutable_devices(0)->set_threads(4);
  cluster.mutable_devices(1)->set_flops_per_second(1e12);
  const CostModel model(cluster, proto::CostTable());
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 0), 0.0025, 1e-4);
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 1), 0.002, 1e-4);
}

proto::CostTable TableOf(const OpDesc& desc, double alone, double shared) {
  proto::CostTable table;
  proto::KernelCost& cost = *table.add_kernels();
  cost.set_key(desc.Key());
  cost.set_seconds(alone);
  cost.set_seconds_shared(shared);
  return table;
}

TEST(CostModelTest, MeasuredWins) {
  proto::Cluster cluster = TwoDevices();
  const proto::CostTable table = TableOf(MatMul(8), 0.25, 0.5);
  const CostModel apart(cluster, table);
  EXPECT_EQ(apart.Call(MatMul(8), MatMul(8).Key(), 0).alone, 0.25);
  EXPECT_EQ(apart.Call(MatMul(8), MatMul(8).Key(), 0).shared, 0.25);
  EXPECT_TRUE(apart.Call(MatMul(8), MatMul(8).Key(), 0).measured);
  EXPECT_LT(apart.CallSeconds(MatMul(9), MatMul(9).Key(), 0), 0.25);
  EXPECT_FALSE(apart.Call(MatMul(9), MatMul(9).Key(), 0).measured);
  for (auto& device : *cluster.mutable_devices()) device.set_shares("socket 0");
  const CostModel together(cluster, table);
  EXPECT_EQ(together.Call(MatMul(8), MatMul(8).Key(), 0).alone, 0.25);
  EXPECT_EQ(together.Call(MatMul(8), MatMul(8).Key(), 0).shared, 0.5);
}

TEST(CostModelTest, MeasuredWithOtherThreadsIsScaledAndNotMeasured) {
  proto::Cluster cluster = TwoDevices();
  proto::CostTable table = TableOf(MatMul(8), 0.25, 0);
  table.set_threads(4);
  cluster.mutable_devices(0)->set_threads(4);
  cluster.mutable_devices(1)->set_threads(2);
  const CostModel model(cluster, table);
  EXPECT_TRUE(model.Call(MatMul(8), MatMul(8).Key(), 0).measured);
  EXPECT_EQ(model.Call(MatMul(8), MatMul(8).Key(), 1).alone, 0.5);
  EXPECT_FALSE(model.Call(MatMul(8), MatMul(8).Key(), 1).measured);
}

TEST(CostModelTest, FittedRatesPriceTheRest) {
  proto::Cluster cluster = TwoDevices();
  cluster.mutable_devices(1)->set_flops_per_second(1e12);
  for (auto& device : *cluster.mutable_devices()) device.set_shares("cores");
  proto::CostTable table;
  table.mutable_alone()->set_matmul_flops_per_second(50e9);
  table.mutable_shared()->set_matmul_flops_per_second(40e9);
  const CostModel model(cluster, table);
  EXPECT_NEAR(model.Call(MatMul(1000), "", 0).alone, 0.04, 1e-4);
  EXPECT_NEAR(model.Call(MatMul(1000), "", 0).shared, 0.05, 1e-4);
  EXPECT_NEAR(model.Call(MatMul(1000), "", 1).alone, 0.002, 1e-4);  // what the cluster says goes before
}

TEST(CostModelTest, PackingAndGathering) {
  proto::Cluster cluster = TwoDevices();
  proto::CostTable table = TableOf(MatMul(8), 1, 1);
  table.mutable_kernels(0)->set_key("pack " + MatMul(8).Key());
  for (const auto& [bytes, seconds] : {std::pair(64, 1.0), std::pair(1024, 2.0)}) {
    proto::CollectiveCost& gather = *table.add_collectives();
    gather.set_kind("all-gather");
    gather.set_ranks(2);
    gather.set_bytes(bytes);
    gather.set_seconds(seconds);
  }
  const CostModel model(cluster, table);
  EXPECT_EQ(model.Pack(MatMul(8).Key(), 256, 0).alone, 1);
  EXPECT_NEAR(model.Pack(MatMul(9).Key(), 8000000, 0).alone, 1e-3, 2e-6);
  EXPECT_EQ(model.AllGatherSeconds(2, 8), 1);
  EXPECT_EQ(model.AllGatherSeconds(2, 65), 2);
  EXPECT_EQ(model.AllGatherSeconds(2, 4096), 2);
  EXPECT_NEAR(model.AllGatherSeconds(3, 8), 6e-6, 1e-9);
  EXPECT_EQ(model.AllGatherSeconds(1, 8), 0);
}

TEST(CostModelTest, CrowdIsThreadsForEachSharedCore) {
  proto::Cluster cluster = TwoDevices();
  EXPECT_EQ(CostModel(cluster, {}).Crowd(0), 1);
  for (auto& device : *cluster.mutable_devices()) {
    device.set_threads(3);
    device.set_shares("cores");
    device.set_shared_cores(2);
  }
  EXPECT_EQ(CostModel(cluster, {}).Crowd(1), 3);
}

TEST(CostModelTest, FirstLinkThatMatches) {
  proto::Cluster cluster = TwoDevices();
  EXPECT_EQ(CostModel(cluster, proto::CostTable()).TransferSeconds(1 << 20, 1, 1), 0);
  EXPECT_NEAR(CostModel(cluster, proto::CostTable()).TransferSeconds(8000000, 0, 1), 1e-3 + 3e-6, 1e-9);
  proto::Link& slow = *cluster.add_links();
  slow.set_from("cpu:0");
  slow.set_to("*");
  slow.set_latency_seconds(1);
  slow.set_bytes_per_second(2);
  proto::Link& fast = *cluster.add_links();
  fast.set_from("*");
  fast.set_to("*");
  fast.set_bytes_per_second(4);
  EXPECT_EQ(CostModel(cluster, proto::CostTable()).TransferSeconds(8, 0, 1), 5);
  EXPECT_EQ(CostModel(cluster, proto::CostTable()).TransferSeconds(8, 1, 0), 2);
}

}  // namespace
}  // namespace millrace
