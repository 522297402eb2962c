#include "partitioner/check_devices.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "partitioner/expand_cluster.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

using Figures = std::initializer_list<std::pair<absl::string_view, double>>;

constexpr int kMostDevices = 1 << 16;
constexpr uint32_t kMostThreads = 4096, kMostMultiprocessors = 65536;

std::string Shown(absl::string_view name) { return absl::StrCat("'", absl::CHexEscape(name.substr(0, 96)), "'"); }

absl::Status Bad(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status CheckFigures(absl::string_view where, const Figures& figures) {
  for (const auto& [name, value] : figures) {
    if (std::isfinite(value) && value >= 0) continue;
    return Bad(where, absl::StrCat(name, " is ", value, "; it must be a number, 0 (not known) or more"));
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(absl::string_view where, const proto::ClusterDevice& device) {
  if (device.name().empty()) return Bad(where, "has no name");
  if (device.name() == "*") return Bad(where, "'*' stands for any device in links; choose another name");
  if (device.kind().empty()) return Bad(where, "has no kind; say which backend runs it, for example kind: \"cpu\"");
  if (device.threads() > kMostThreads) {
    return Bad(where, absl::StrCat("threads is ", device.threads(), "; at most ", kMostThreads, " are possible"));
  }
  if (device.shared_cores() > kMostThreads) {
    return Bad(where,
               absl::StrCat("shared_cores is ", device.shared_cores(), "; at most ", kMostThreads, " are possible"));
  }
  if (device.multiprocessors() > kMostMultiprocessors) {
    return Bad(where, absl::StrCat("multiprocessors is ", device.multiprocessors(), "; at most ", kMostMultiprocessors,
                                   " are possible"));
  }
  MR_RETURN_IF_ERROR(CheckFigures(where, {{"flops_per_second", device.flops_per_second()},
                                          {"peak_flops_per_second", device.peak_flops_per_second()},
                                          {"bytes_per_second", device.bytes_per_second()}}));
  if (device.peak_flops_per_second() > 0 && device.flops_per_second() > device.peak_flops_per_second()) {
    return Bad(where, absl::StrCat("flops_per_second, what it reaches, is ", device.flops_per_second(),
                                   " and above its peak_flops_per_second, ", device.peak_flops_per_second()));
  }
  return absl::OkStatus();
}

absl::Status CheckHosts(const proto::Cluster& cluster) {
  if (cluster.devices_per_host() > kMostDevices) {
    return Bad("cluster", absl::StrCat("devices_per_host is ", cluster.devices_per_host(), "; at most ", kMostDevices,
                                       " are possible"));
  }
  for (const auto& [name, link] :
       {std::pair("inside_host", cluster.inside_host()), std::pair("between_hosts", cluster.between_hosts())}) {
    MR_RETURN_IF_ERROR(CheckFigures(
        name, {{"latency_seconds", link.latency_seconds()}, {"bytes_per_second", link.bytes_per_second()}}));
  }
  return absl::OkStatus();
}

std::string LinkText(const std::string& from, const std::string& to) {
  return absl::StrCat("link from ", Shown(from), " to ", Shown(to));
}

}  // namespace

absl::Status CheckCluster(const proto::Cluster& cluster) {
  if (cluster.devices().empty()) return Bad("cluster", "has no devices");
  if (cluster.devices_size() > kMostDevices || cluster.links_size() > kMostDevices) {
    return Bad("cluster", absl::StrCat("has more than ", kMostDevices, " devices or links"));
  }
  absl::flat_hash_set<std::string> names;
  for (int d = 0; d < cluster.devices_size(); ++d) {
    const proto::ClusterDevice& device = cluster.devices(d);
    const std::string where = absl::StrCat("device ", d, " (", Shown(device.name()), ")");
    MR_RETURN_IF_ERROR(CheckDevice(where, device));
    if (names.size() + std::max(1u, device.count()) > kMostDevices) {
      return Bad(where,
                 absl::StrCat("with its count of ", device.count(), " there are more than ", kMostDevices, " devices"));
    }
    for (const std::string& name : NamesOf(device)) {
      if (names.insert(name).second) continue;
      return Bad(where, absl::StrCat("another device has the name ", Shown(name), "; names must be unique"));
    }
  }
  for (const proto::Link& link : cluster.links()) {
    const std::string where = LinkText(link.from(), link.to());
    for (const std::string& end : {link.from(), link.to()}) {
      if (end != "*" && !names.contains(end)) return Bad(where, absl::StrCat("there is no device ", Shown(end)));
    }
    MR_RETURN_IF_ERROR(CheckFigures(
        where, {{"latency_seconds", link.latency_seconds()}, {"bytes_per_second", link.bytes_per_second()}}));
  }
  return CheckHosts(cluster);
}

absl::Status CheckCostTable(const proto::CostTable& costs) {
  MR_RETURN_IF_ERROR(CheckFigures("cost table", {{"instruction_seconds", costs.instruction_seconds()}}));
  if (costs.threads() > kMostThreads) {
    return Bad("cost table", absl::StrCat("threads is ", costs.threads(), "; at most ", kMostThreads, " are possible"));
  }
  for (const auto& [name, fit] : {std::pair("alone", &costs.alone()), std::pair("shared", &costs.shared())}) {
    MR_RETURN_IF_ERROR(CheckFigures(absl::StrCat("fitted rates, ", name),
                                    {{"matmul_flops_per_second", fit->matmul_flops_per_second()},
                                     {"attention_flops_per_second", fit->attention_flops_per_second()},
                                     {"other_flops_per_second", fit->other_flops_per_second()},
                                     {"bytes_per_second", fit->bytes_per_second()},
                                     {"call_seconds", fit->call_seconds()}}));
  }
  for (const proto::CollectiveCost& collective : costs.collectives()) {
    MR_RETURN_IF_ERROR(
        CheckFigures(absl::StrCat("collective ", Shown(collective.kind())),
                     {{"seconds", collective.seconds()}, {"seconds_spread", collective.seconds_spread()}}));
  }
  absl::flat_hash_set<absl::string_view> keys;
  for (int k = 0; k < costs.kernels_size(); ++k) {
    const proto::KernelCost& kernel = costs.kernels(k);
    const std::string where = absl::StrCat("kernel ", k, " (", Shown(kernel.key()), ")");
    if (kernel.key().empty()) return Bad(where, "has no key: the operator, shapes and types that were measured");
    if (!keys.insert(kernel.key()).second) return Bad(where, "another kernel has this key; each has one cost");
    MR_RETURN_IF_ERROR(CheckFigures(where, {{"seconds", kernel.seconds()},
                                            {"seconds_spread", kernel.seconds_spread()},
                                            {"seconds_shared", kernel.seconds_shared()},
                                            {"flops", kernel.flops()}}));
  }
  for (const proto::LinkCost& link : costs.links()) {
    MR_RETURN_IF_ERROR(CheckFigures(LinkText(link.from(), link.to()), {{"latency_seconds", link.latency_seconds()},
                                                                       {"bytes_per_second", link.bytes_per_second()}}));
  }
  return absl::OkStatus();
}

}  // namespace millrace
