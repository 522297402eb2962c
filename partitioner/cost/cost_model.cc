#include "partitioner/cost/cost_model.h"

#include <algorithm>
#include <cmath>

#include "partitioner/graph/catalogue.h"

namespace millrace {
namespace {

constexpr double kMatmulFlopsPerThread = 100e9;
constexpr double kOtherFlopsPerThread = 10e9;
constexpr double kBytesPerSecond = 12e9;
constexpr double kCallSeconds = 1e-6;
constexpr double kInstructionSeconds = 3e-6;
constexpr double kLinkLatency = 3e-6;
constexpr double kLinkBytesPerSecond = 8e9;

bool IsMatrixProduct(absl::string_view op) {
  return op == "MatMul" || op == "Gemm" || op == "FusedMatMul" || op == "MatMulWeightGrad" || op == "Attention" ||
         op == "AttentionGrad" || op == "LinearCrossEntropy";
}

bool Good(double x) { return std::isfinite(x) && x > 0; }

bool Matches(const std::string& pattern, const std::string& name) { return pattern == "*" || pattern == name; }

}  // namespace

DeviceRates RatesOf(const proto::ClusterDevice& device) {
  const double threads = std::max<uint32_t>(1, device.threads());
  const double scale = Good(device.flops_per_second()) ? device.flops_per_second() / kMatmulFlopsPerThread : threads;
  return {.matmul_flops = kMatmulFlopsPerThread * scale,
          .other_flops = kOtherFlopsPerThread * scale,
          .bytes = Good(device.bytes_per_second()) ? device.bytes_per_second() : kBytesPerSecond,
          .call_seconds = kCallSeconds};
}

CostModel::CostModel(const proto::Cluster& cluster, const proto::CostTable& table) {
  absl::flat_hash_map<std::string, int> groups;
  for (const proto::ClusterDevice& device : cluster.devices()) ++groups[device.shares()];
  for (const proto::ClusterDevice& device : cluster.devices()) {
    names_.push_back(device.name());
    rates_.push_back(RatesOf(device));
    shares_.push_back(!device.shares().empty() && groups[device.shares()] > 1);
  }
  for (const proto::Link& link : cluster.links()) {
    links_.push_back({link.from(), link.to(), link.latency_seconds(), link.bytes_per_second()});
  }
  for (const proto::LinkCost& link : table.links()) {
    links_.push_back({link.from(), link.to(), link.latency_seconds(), link.bytes_per_second()});
  }
  for (const proto::KernelCost& kernel : table.kernels()) {
    if (!std::isfinite(kernel.seconds()) || kernel.seconds() < 0) continue;
    measured_.emplace(kernel.key(), Measured{kernel.seconds(), Good(kernel.seconds_shared()) ? kernel.seconds_shared()
                                                                                             : kernel.seconds()});
  }
  instruction_seconds_ = Good(table.instruction_seconds()) ? table.instruction_seconds() : kInstructionSeconds;
}

double CostModel::CallSeconds(const OpDesc& desc, absl::string_view key, int device) const {
  const auto measured = measured_.find(key);
  if (measured != measured_.end()) return shares_[device] ? measured->second.shared : measured->second.alone;
  const DeviceRates& rates = rates_[device];
  const double flops = Flops(desc) / (IsMatrixProduct(desc.op) ? rates.matmul_flops : rates.other_flops);
  return rates.call_seconds + std::max(flops, Bytes(desc) / rates.bytes);
}

double CostModel::TransferSeconds(uint64_t bytes, int from_device, int to_device) const {
  if (from_device == to_device) return 0;
  for (const LinkRate& link : links_) {
    if (!Matches(link.from, names_[from_device]) || !Matches(link.to, names_[to_device])) continue;
    const double latency = std::isfinite(link.latency) && link.latency >= 0 ? link.latency : kLinkLatency;
    return latency + static_cast<double>(bytes) / (Good(link.bytes) ? link.bytes : kLinkBytesPerSecond);
  }
  return kLinkLatency + static_cast<double>(bytes) / kLinkBytesPerSecond;
}

double CostModel::TrafficSeconds(uint64_t bytes, int device) const {
  return static_cast<double>(bytes) / rates_[device].bytes;
}

}  // namespace millrace
