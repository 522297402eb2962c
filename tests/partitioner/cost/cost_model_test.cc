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
  // Large: 2 n^3 operations at 100 GFLOP/s. Small: three operands at 12 GB/s are next to nothing beside the call.
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 0), 0.02, 1e-4);
  EXPECT_NEAR(model.CallSeconds(MatMul(2), "", 0), 1e-6, 1e-7);
  OpDesc add;
  add.op = "Add";
  add.inputs = {{proto::F32, {1000000}}, {proto::F32, {1000000}}};
  add.outputs = {{proto::F32, {1000000}}};
  EXPECT_NEAR(model.CallSeconds(add, "", 0), 1e-3, 1e-5);
}

TEST(CostModelTest, DevicesFieldsWin) {
  proto::Cluster cluster = TwoDevices();
  cluster.mutable_devices(0)->set_threads(4);
  cluster.mutable_devices(1)->set_flops_per_second(1e12);
  const CostModel model(cluster, proto::CostTable());
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 0), 0.005, 1e-4);
  EXPECT_NEAR(model.CallSeconds(MatMul(1000), "", 1), 0.002, 1e-4);
}

TEST(CostModelTest, MeasuredWins) {
  proto::Cluster cluster = TwoDevices();
  proto::CostTable table;
  proto::KernelCost& cost = *table.add_kernels();
  cost.set_key(MatMul(8).Key());
  cost.set_seconds(0.25);
  cost.set_seconds_shared(0.5);
  EXPECT_EQ(CostModel(cluster, table).CallSeconds(MatMul(8), MatMul(8).Key(), 0), 0.25);
  EXPECT_LT(CostModel(cluster, table).CallSeconds(MatMul(9), MatMul(9).Key(), 0), 0.25);
  for (auto& device : *cluster.mutable_devices()) device.set_shares("socket 0");
  EXPECT_EQ(CostModel(cluster, table).CallSeconds(MatMul(8), MatMul(8).Key(), 0), 0.5);
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
