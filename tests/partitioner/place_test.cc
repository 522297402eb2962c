// Devices for ranks: heavy traffic on fast links, against every order there is, and in whole plans.
#include "partitioner/place.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"
#include "partitioner/partition.h"
#include "proto/text_proto.h"
#include "runtime/plan/verify.h"

namespace millrace {
namespace {

// Devices of hosts, in this order: fast inside a host, slow between two.
proto::Cluster Hosts(const std::vector<std::string>& host_of_device) {
  proto::Cluster cluster;
  cluster.set_schema_version(kSchemaVersion);
  for (size_t d = 0; d < host_of_device.size(); ++d) {
    proto::ClusterDevice& device = *cluster.add_devices();
    device.set_name(absl::StrCat("cpu:", d));
    device.set_kind("cpu");
    device.set_threads(1);
    device.set_flops_per_second(1e11);
    device.set_host(host_of_device[d]);
  }
  cluster.mutable_inside_host()->set_bytes_per_second(1e10);
  cluster.mutable_inside_host()->set_latency_seconds(1e-6);
  cluster.mutable_between_hosts()->set_bytes_per_second(1e8);
  cluster.mutable_between_hosts()->set_latency_seconds(1e-5);
  return cluster;
}

const KernelNeedsFn kNothing = [](const OpDesc&) { return KernelNeeds(); };

absl::StatusOr<proto::Model> Layers(int layers, int64_t width) {
  GraphBuilder b("layers");
  auto x = b.Input("x", {-1, width}, proto::F32);
  const auto labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  for (int l = 0; l < layers; ++l) x = b.Tanh(b.Linear(absl::StrCat("l", l), x, width, width));
  b.SoftmaxCrossEntropy(x, labels);
  return b.Finish();
}

PartitionOptions OptionsOf(const proto::Cluster& cluster, int pp, int dp, int64_t micro_batch) {
  PartitionOptions options;
  options.cluster = cluster;
  options.pp = pp;
  options.dp = dp;
  options.micro_batch = micro_batch;
  options.micro_batches = 8;
  return options;
}

std::vector<std::string> HostOfRanks(const proto::ExecutionPlan& plan, const proto::Cluster& cluster) {
  std::vector<std::string> hosts;
  for (const proto::Rank& rank : plan.ranks()) {
    for (const proto::ClusterDevice& device : cluster.devices()) {
      if (device.name() == rank.device()) hosts.push_back(device.host());
    }
  }
  return hosts;
}

TEST(Place, ChainsDoNotGoToAndFroBetweenHosts) {
  const proto::Cluster cluster = Hosts({"a", "b", "a", "b"});
  const auto model = Layers(8, 64);
  ASSERT_TRUE(model.ok()) << model.status();
  PartitionOptions options = OptionsOf(cluster, 4, 1, 256);
  const auto placed = Partition(*model, options, kNothing);
  options.placement = "listed";
  const auto listed = Partition(*model, options, kNothing);
  ASSERT_TRUE(placed.ok() && listed.ok()) << placed.status() << listed.status();
  EXPECT_TRUE(VerifyPlan(*placed).ok());
  EXPECT_LT(placed->programs(0).predicted_seconds(), listed->programs(0).predicted_seconds());
  const std::vector<std::string> hosts = HostOfRanks(*placed, cluster);
  ASSERT_EQ(hosts.size(), 4u);
  EXPECT_EQ(hosts[0], hosts[1]);
  EXPECT_EQ(hosts[2], hosts[3]);
}

// Wide layers and few samples: gradients are the traffic. Narrow layers and many samples: activations are.
TEST(Place, WhatSendsMostStaysInAHost) {
  const proto::Cluster cluster = Hosts({"a", "a", "b", "b"});
  const auto wide = Layers(4, 512), narrow = Layers(4, 16);
  ASSERT_TRUE(wide.ok() && narrow.ok());
  const auto gradients = Partition(*wide, OptionsOf(cluster, 2, 2, 1), kNothing);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  const std::vector<std::string> by_stage = HostOfRanks(*gradients, cluster);
  EXPECT_EQ(by_stage[0], by_stage[2]) << "replicas of stage 0";
  EXPECT_EQ(by_stage[1], by_stage[3]) << "replicas of stage 1";
  const auto activations = Partition(*narrow, OptionsOf(cluster, 2, 2, 4096), kNothing);
  ASSERT_TRUE(activations.ok()) << activations.status();
  const std::vector<std::string> by_replica = HostOfRanks(*activations, cluster);
  EXPECT_EQ(by_replica[0], by_replica[1]) << "stages of replica 0";
  EXPECT_EQ(by_replica[2], by_replica[3]) << "stages of replica 1";
}

TEST(Place, DescentFindsTheBestOfAllOrdersMostly) {
  std::mt19937 random(5);
  int cases = 0, best = 0;
  for (int i = 0; i < 300; ++i) {
    const int ranks = 4 + static_cast<int>(random() % 3);
    std::vector<std::string> hosts;
    for (int r = 0; r < ranks; ++r) hosts.push_back(random() % 2 ? "a" : "b");
    const proto::Cluster cluster = Hosts(hosts);
    const CostModel costs(cluster, {});
    std::vector<RankTraffic> traffic;
    for (int from = 0; from < ranks; ++from) {
      for (int to = 0; to < ranks; ++to) {
        if (from != to && random() % 3 == 0) traffic.push_back({from, to, random() % 1000000, 1 + random() % 8});
      }
    }
    std::vector<int> order(ranks), listed(ranks);
    std::iota(order.begin(), order.end(), 0);
    std::iota(listed.begin(), listed.end(), 0);
    const double as_listed = TrafficSeconds(traffic, costs, listed);
    double least = as_listed;
    do least = std::min(least, TrafficSeconds(traffic, costs, order));
    while (std::next_permutation(order.begin(), order.end()));
    const auto found = BetterPlaces(traffic, cluster, costs, ranks);
    double reached = as_listed;
    if (!found.empty()) {
      std::vector<int> sorted = found[0];
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(sorted, listed);
      reached = TrafficSeconds(traffic, costs, found[0]);
      EXPECT_LT(reached, as_listed);
    }
    ++cases;
    best += reached <= least * (1 + 1e-3);
  }
  EXPECT_GT(best, cases * 3 / 4) << best << " of " << cases;
}

TEST(Place, UnequalDevicesStayWhereTheyAre) {
  proto::Cluster cluster = Hosts({"a", "b", "a"});
  cluster.mutable_devices(1)->set_flops_per_second(5e11);
  const CostModel costs(cluster, {});
  const std::vector<RankTraffic> traffic = {{0, 1, 1000000, 1}, {1, 2, 1000, 1}};
  for (const std::vector<int>& devices : BetterPlaces(traffic, cluster, costs, 3)) EXPECT_EQ(devices[1], 1);
}

}  // namespace
}  // namespace millrace
