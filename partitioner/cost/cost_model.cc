#include "partitioner/cost/cost_model.h"

#include <algorithm>
#include <cmath>

#include "partitioner/graph/catalogue.h"
#include "runtime/plan/op_descs.h"

namespace millrace {
namespace {

// A thread of a present CPU with AVX-512 does 220 to 260 GFLOP/s in the products of a transformer
// (docs/performance.md).
constexpr double kMatmulFlopsPerThread = 200e9;
constexpr double kAttentionFlopsPerThread = 120e9;
constexpr double kOtherFlopsPerThread = 20e9;
constexpr double kBytesPerSecond = 16e9;
constexpr double kCallSeconds = 1e-6;
constexpr double kInstructionSeconds = 3e-6;
constexpr double kLinkLatency = 3e-6;
constexpr double kLinkBytesPerSecond = 8e9;

bool Good(double x) { return std::isfinite(x) && x > 0; }
double Or(double x, double otherwise) { return Good(x) ? x : otherwise; }

bool Matches(const std::string& pattern, const std::string& name) { return pattern == "*" || pattern == name; }

double ThreadsOf(const proto::ClusterDevice& device) { return std::max<uint32_t>(1, device.threads()); }

// The fitted rates where there are any, at the device's number of threads.
DeviceRates Refined(DeviceRates rates, const proto::FittedRates& fit, const proto::ClusterDevice& device,
                    double thread_ratio) {
  if (!Good(device.flops_per_second())) {
    rates.matmul_flops = Or(fit.matmul_flops_per_second() / thread_ratio, rates.matmul_flops);
    rates.attention_flops = Or(fit.attention_flops_per_second() / thread_ratio, rates.attention_flops);
    rates.other_flops = Or(fit.other_flops_per_second() / thread_ratio, rates.other_flops);
  }
  if (!Good(device.bytes_per_second())) rates.bytes = Or(fit.bytes_per_second(), rates.bytes);
  rates.call_seconds = Or(fit.call_seconds(), rates.call_seconds);
  return rates;
}

// Of a Link, LinkCost or HostLink.
template <typename L>
LinkRate RateOf(const L& link) {
  const double latency = link.latency_seconds();
  return {std::isfinite(latency) && latency >= 0 ? latency : kLinkLatency,
          Or(link.bytes_per_second(), kLinkBytesPerSecond), ""};
}

}  // namespace

OpFamily FamilyOf(absl::string_view op) {
  if (op == "Attention" || op == "AttentionGrad") return OpFamily::kAttention;
  const bool product =
      op == "MatMul" || op == "Gemm" || op == "FusedMatMul" || op == "MatMulWeightGrad" || op == "LinearCrossEntropy";
  return product ? OpFamily::kMatmul : OpFamily::kOther;
}

double DeviceRates::Flops(OpFamily family) const {
  if (family == OpFamily::kMatmul) return matmul_flops;
  return family == OpFamily::kAttention ? attention_flops : other_flops;
}

double DeviceRates::Seconds(OpFamily family, double flops, double moved) const {
  return call_seconds + std::max(flops / Flops(family), moved / bytes);
}

DeviceRates RatesOf(const proto::ClusterDevice& device) {
  const double scale =
      Good(device.flops_per_second()) ? device.flops_per_second() / kMatmulFlopsPerThread : ThreadsOf(device);
  return {.matmul_flops = kMatmulFlopsPerThread * scale,
          .attention_flops = kAttentionFlopsPerThread * scale,
          .other_flops = kOtherFlopsPerThread * scale,
          .bytes = Or(device.bytes_per_second(), kBytesPerSecond),
          .call_seconds = kCallSeconds};
}

CostModel::CostModel(const proto::Cluster& cluster, const proto::CostTable& table) {
  struct Group {
    int devices = 0;
    double threads = 0, cores = 0;
  };
  absl::flat_hash_map<std::string, Group> groups;
  for (const proto::ClusterDevice& device : cluster.devices()) {
    Group& group = groups[device.shares()];
    ++group.devices;
    group.threads += ThreadsOf(device);
    if (group.cores == 0) group.cores = device.shared_cores();
  }
  for (const proto::ClusterDevice& device : cluster.devices()) {
    const Group& group = groups[device.shares()];
    const bool shares = !device.shares().empty() && group.devices > 1;
    AddDevice(device, table, shares);
    crowd_.push_back(shares && group.cores > 0 ? std::max(1.0, group.threads / group.cores) : 1);
  }
  const auto add_link = [this](const auto& link, const std::string& wire) {
    links_.push_back({link.from(), link.to(), RateOf(link)});
    links_.back().rate.wire = wire;
  };
  for (const proto::Link& link : cluster.links()) add_link(link, link.wire());
  for (const proto::LinkCost& link : table.links()) add_link(link, "");
  if (cluster.has_inside_host()) inside_host_ = RateOf(cluster.inside_host());
  if (cluster.has_between_hosts()) between_hosts_ = RateOf(cluster.between_hosts());
  for (const proto::KernelCost& kernel : table.kernels()) {
    if (!std::isfinite(kernel.seconds()) || kernel.seconds() < 0) continue;
    measured_.emplace(kernel.key(), Measured{kernel.seconds(), Or(kernel.seconds_shared(), kernel.seconds())});
  }
  for (const proto::CollectiveCost& collective : table.collectives()) {
    if (collective.kind() == "all-gather" && Good(collective.seconds())) gathers_.push_back(collective);
  }
  instruction_seconds_ = Or(table.instruction_seconds(), kInstructionSeconds);
}

void CostModel::AddDevice(const proto::ClusterDevice& device, const proto::CostTable& table, bool shares) {
  const double ratio = table.threads() > 0 ? table.threads() / ThreadsOf(device) : 1;
  names_.push_back(device.name());
  hosts_.push_back(device.host());
  shares_.push_back(shares);
  thread_ratio_.push_back(ratio);
  rates_.push_back(Refined(RatesOf(device), table.alone(), device, ratio));
  shared_rates_.push_back(shares ? Refined(rates_.back(), table.shared(), device, ratio) : rates_.back());
}

CallCost CostModel::Known(absl::string_view key, int device) const {
  const auto measured = measured_.find(key);
  if (measured == measured_.end()) return {-1, -1, false};
  const double ratio = thread_ratio_[device];
  const Measured& cost = measured->second;
  return {cost.alone * ratio, (shares_[device] ? cost.shared : cost.alone) * ratio, ratio == 1};
}

CallCost CostModel::Call(const OpDesc& desc, absl::string_view key, int device) const {
  const CallCost known = Known(key, device);
  if (known.alone >= 0) return known;
  const OpFamily family = FamilyOf(desc.op);
  const double flops = Flops(desc), bytes = Bytes(desc);
  return {rates_[device].Seconds(family, flops, bytes), shared_rates_[device].Seconds(family, flops, bytes), false};
}

CallCost CostModel::Pack(absl::string_view key, uint64_t packed_bytes, int device) const {
  const CallCost known = Known(PackCostKey(key), device);
  if (known.alone >= 0) return known;
  const double bytes = 2.0 * static_cast<double>(packed_bytes);
  return {rates_[device].Seconds(OpFamily::kOther, 0, bytes), shared_rates_[device].Seconds(OpFamily::kOther, 0, bytes),
          false};
}

LinkRate CostModel::LinkBetween(int from_device, int to_device) const {
  for (const NamedLink& link : links_) {
    if (Matches(link.from, names_[from_device]) && Matches(link.to, names_[to_device])) return link.rate;
  }
  if (!hosts_[from_device].empty() && !hosts_[to_device].empty()) {
    const std::optional<LinkRate>& rate = hosts_[from_device] == hosts_[to_device] ? inside_host_ : between_hosts_;
    if (rate.has_value()) return *rate;
  }
  return {kLinkLatency, kLinkBytesPerSecond, ""};
}

double CostModel::TransferSeconds(uint64_t bytes, int from_device, int to_device) const {
  return from_device == to_device ? 0 : LinkBetween(from_device, to_device).Seconds(bytes);
}

double CostModel::AllGatherSeconds(int ranks, uint64_t bytes) const {
  if (ranks < 2) return 0;
  // Of the same number of ranks the smallest measured size that is no smaller, else the largest.
  const proto::CollectiveCost* best = nullptr;
  for (const proto::CollectiveCost& gather : gathers_) {
    if (gather.ranks() != static_cast<uint32_t>(ranks)) continue;
    const bool closer =
        best == nullptr || (best->bytes() < bytes ? gather.bytes() > best->bytes()
                                                  : gather.bytes() >= bytes && gather.bytes() < best->bytes());
    if (closer) best = &gather;
  }
  if (best != nullptr) return best->seconds();
  double latency = 0;
  for (size_t d = 1; d < names_.size(); ++d) latency = std::max(latency, LinkBetween(0, static_cast<int>(d)).latency);
  return 2 * latency;
}

double CostModel::TrafficSeconds(uint64_t bytes, int device) const {
  return static_cast<double>(bytes) / shared_rates_[device].bytes;
}

}  // namespace millrace
