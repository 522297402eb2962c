#include "partitioner/search/machine_of.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/expand_cluster.h"

namespace millrace {
namespace {

constexpr double kLatency = 3e-6, kBytesPerSecond = 8e9, kCallSeconds = 1e-6;

bool IsGpu(const proto::ClusterDevice& device) { return device.kind() == "cuda"; }

PaperDevice DeviceOf(const proto::ClusterDevice& device) {
  PaperDevice paper;
  const double sheet = device.peak_flops_per_second(), reached = device.flops_per_second();
  if (sheet > 0) {
    paper.peak_flops = sheet;
    if (reached > 0) paper.matmul_fraction = reached / sheet;
  } else if (reached > 0 || !IsGpu(device)) {
    paper.peak_flops = reached > 0 ? reached : RatesOf(device).matmul_flops;
    paper.matmul_fraction = 1;
  }
  if (device.multiprocessors() > 0 || !IsGpu(device)) paper.multiprocessors = device.multiprocessors();
  if (!IsGpu(device)) paper.kernel_seconds = kCallSeconds;
  if (device.bytes_per_second() > 0 || !IsGpu(device)) paper.bytes_per_second = RatesOf(device).bytes;
  paper.memory_bytes = static_cast<double>(device.memory_bytes());
  return paper;
}

double Reached(const PaperDevice& device) { return device.peak_flops * device.matmul_fraction; }

// 0 is no limit.
double Smaller(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

void SetLink(bool given, const proto::HostLink& link, bool gpu, double* latency, double* rate) {
  if (!gpu) *latency = kLatency, *rate = kBytesPerSecond;
  if (!given) return;
  *latency = link.latency_seconds();
  if (link.bytes_per_second() > 0) *rate = link.bytes_per_second();
}

int64_t DevicesPerHost(const proto::Cluster& cluster, int64_t devices) {
  int64_t smallest = cluster.devices_per_host() > 0 ? cluster.devices_per_host() : devices;
  absl::flat_hash_map<std::string, int64_t> hosts;
  for (const proto::ClusterDevice& device : cluster.devices()) {
    if (!device.host().empty()) hosts[device.host()] += std::max(1u, device.count());
  }
  for (const auto& [name, size] : hosts) smallest = std::min(smallest, size);
  return std::min(smallest, devices);
}

}  // namespace

absl::StatusOr<PaperMachine> MachineOf(const proto::Cluster& cluster) {
  PaperMachine machine;
  for (int d = 0; d < cluster.devices_size(); ++d) {
    const proto::ClusterDevice& device = cluster.devices(d);
    if (device.kind() != cluster.devices(0).kind()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the cluster has devices of kinds '", absl::CHexEscape(cluster.devices(0).kind().substr(0, 96)), "' and '",
          absl::CHexEscape(device.kind().substr(0, 96)), "'; a search is over devices of one kind"));
    }
    const PaperDevice paper = DeviceOf(device);
    if (d == 0) {
      machine.device = paper;
      continue;
    }
    const double memory = Smaller(machine.device.memory_bytes, paper.memory_bytes);
    if (Reached(paper) < Reached(machine.device)) machine.device = paper;
    machine.device.memory_bytes = memory;
  }
  machine.devices = DeviceCount(cluster);
  machine.devices_per_host = DevicesPerHost(cluster, machine.devices);
  const bool gpu = IsGpu(cluster.devices(0));
  SetLink(cluster.has_inside_host(), cluster.inside_host(), gpu, &machine.inside_latency,
          &machine.inside_bytes_per_second);
  SetLink(cluster.has_between_hosts(), cluster.between_hosts(), gpu, &machine.between_latency,
          &machine.between_bytes_per_second);
  return machine;
}

}  // namespace millrace
