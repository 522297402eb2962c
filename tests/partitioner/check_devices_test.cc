// Cluster files: groups of devices, hosts, and nonsense refused by name.
#include "partitioner/check_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/cost/cost_model.h"
#include "partitioner/expand_cluster.h"
#include "partitioner/search/machine_of.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

proto::Cluster ClusterOf(absl::string_view text) {
  proto::Cluster cluster;
  EXPECT_EQ(ParseMessage(text, "test", &cluster), absl::OkStatus());
  return cluster;
}

std::string Refusal(absl::string_view text) { return std::string(CheckCluster(ClusterOf(text)).message()); }

constexpr char kHosts[] = R"(
  schema_version: 1
  devices { name: "a" kind: "cuda" count: 16 memory_bytes: 80000000000 peak_flops_per_second: 312e12 }
  devices_per_host: 8
  inside_host { latency_seconds: 1e-6 bytes_per_second: 200e9 }
  between_hosts { latency_seconds: 1e-5 bytes_per_second: 20e9 })";

TEST(Cluster, GroupsAreSpeltOut) {
  const proto::Cluster cluster = ClusterOf(kHosts);
  ASSERT_EQ(CheckCluster(cluster), absl::OkStatus());
  EXPECT_EQ(DeviceCount(cluster), 16);
  const proto::Cluster expanded = ExpandCluster(cluster);
  ASSERT_EQ(expanded.devices_size(), 16);
  EXPECT_EQ(expanded.devices(7).name(), "a:7");
  EXPECT_EQ(expanded.devices(7).host(), "host 0");
  EXPECT_EQ(expanded.devices(8).host(), "host 1");
  EXPECT_EQ(CheckCluster(expanded), absl::OkStatus());
  EXPECT_EQ(ExpandCluster(expanded).SerializeAsString(), expanded.SerializeAsString());
}

TEST(Cluster, LinksFollowTheHosts) {
  proto::Cluster cluster = ExpandCluster(ClusterOf(kHosts));
  const proto::CostTable none;
  EXPECT_DOUBLE_EQ(CostModel(cluster, none).TransferSeconds(1000000, 0, 7), 1e-6 + 1e6 / 200e9);
  EXPECT_DOUBLE_EQ(CostModel(cluster, none).TransferSeconds(1000000, 7, 8), 1e-5 + 1e6 / 20e9);
  proto::Link* link = cluster.add_links();  // a link by name comes first
  link->set_from("a:7");
  link->set_to("*");
  link->set_bytes_per_second(1e9);
  EXPECT_DOUBLE_EQ(CostModel(cluster, none).TransferSeconds(1000000, 7, 8), 1e-3);
}

TEST(Cluster, NonsenseIsNamed) {
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' shared_cores: 5000 }"),
              HasSubstr("shared_cores is 5000"));
  EXPECT_THAT(Refusal("schema_version: 1"), HasSubstr("has no devices"));
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' count: 4000000000 }"),
              HasSubstr("count of 4000000000"));
  EXPECT_THAT(
      Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' count: 2 } devices { name: 'a:1' kind: 'cpu' }"),
      HasSubstr("another device has the name 'a:1'"));
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' peak_flops_per_second: nan }"),
              HasSubstr("peak_flops_per_second is nan"));
  EXPECT_THAT(
      Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' peak_flops_per_second: 1 flops_per_second: 2 }"),
      HasSubstr("above its peak_flops_per_second"));
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' } inside_host { bytes_per_second: -1 }"),
              HasSubstr("inside_host: bytes_per_second is -1"));
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' } devices_per_host: 4000000000"),
              HasSubstr("devices_per_host is 4000000000"));
  EXPECT_THAT(Refusal("schema_version: 1 devices { name: 'a' kind: 'cpu' multiprocessors: 4000000000 }"),
              HasSubstr("multiprocessors is 4000000000"));
}

TEST(MachineOf, TheSlowestAndTheSmallest) {
  const absl::StatusOr<PaperMachine> machine = MachineOf(ClusterOf(R"(
    schema_version: 1
    devices { name: "big" kind: "cuda" count: 8 memory_bytes: 80 peak_flops_per_second: 400 flops_per_second: 200 host: "x" }
    devices { name: "slow" kind: "cuda" count: 4 memory_bytes: 90 peak_flops_per_second: 300 flops_per_second: 150 host: "y" }
    between_hosts { latency_seconds: 1 bytes_per_second: 2 })"));
  ASSERT_EQ(machine.status(), absl::OkStatus());
  EXPECT_EQ(machine->devices, 12);
  EXPECT_EQ(machine->devices_per_host, 4);
  EXPECT_EQ(machine->device.peak_flops, 300);
  EXPECT_EQ(machine->device.matmul_fraction, 0.5);
  EXPECT_EQ(machine->device.memory_bytes, 80);
  EXPECT_EQ(machine->between_latency, 1);
  EXPECT_EQ(machine->between_bytes_per_second, 2);
  EXPECT_EQ(machine->inside_bytes_per_second, PaperMachine().inside_bytes_per_second);
}

TEST(MachineOf, OneKind) {
  EXPECT_THAT(
      MachineOf(ClusterOf("schema_version: 1 devices { name: 'a' kind: 'cpu' } devices { name: 'b' kind: 'cuda' }"))
          .status()
          .message(),
      HasSubstr("kinds 'cpu' and 'cuda'"));
}

}  // namespace
}  // namespace millrace
