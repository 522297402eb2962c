// Seconds of kernel calls, transfers and plain memory traffic on the devices of a cluster.
//
// A call that the cost table knows costs what was measured, alone and, where the device shares cores with another one
// of the cluster, with the ranks of the group busy. Every other call follows the roofline (Williams, Waterman,
// Patterson 2009): the longer of arithmetic at the device's rate and memory traffic at its bandwidth, plus a fixed cost
// per call. The rates are the cluster's where it says them, else what the table's measured calls were fitted with
// (partitioner/cost/fit_rates.h), else the defaults below. Devices whose kind is unknown count as "cpu".
#ifndef PARTITIONER_COST_COST_MODEL_H_
#define PARTITIONER_COST_COST_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"
#include "proto/cluster.pb.h"
#include "proto/costs.pb.h"

namespace millrace {

// Whose rate an operator's arithmetic goes by.
enum class OpFamily { kMatmul, kAttention, kOther };
OpFamily FamilyOf(absl::string_view op);

struct DeviceRates {
  double matmul_flops = 0;     // FLOP/s of matrix multiplication and what is built from it
  double attention_flops = 0;  // FLOP/s of attention and its gradient
  double other_flops = 0;      // FLOP/s of everything else
  double bytes = 0;            // bytes/s of memory traffic
  double call_seconds = 0;     // fixed cost of one kernel call

  double Flops(OpFamily family) const;
  // The roofline.
  double Seconds(OpFamily family, double flops, double bytes) const;
};

// Per thread of a CPU 200 GFLOP/s in matrix multiplication, 120 in attention and 20 elsewhere; 16 GB/s; 1 us a call.
// Fields of the device that are set win. threads = 0 counts as one.
DeviceRates RatesOf(const proto::ClusterDevice& device);

struct CallCost {
  double alone = 0;   // seconds
  double shared = 0;  // with the ranks that share the device's cores busy; as alone where it shares with nobody
  bool measured = false;
};

struct LinkRate {
  double latency = 0;
  double bytes = 0;  // per second
  std::string wire;  // of the cluster's link
  double Seconds(uint64_t count) const { return latency + static_cast<double>(count) / bytes; }
};

// Immutable; devices are indices into the cluster's list.
class CostModel {
 public:
  CostModel(const proto::Cluster& cluster, const proto::CostTable& table);

  // `key` is desc.Key(), which callers have at hand. What was measured with another number of threads than the device
  // has is scaled by them and does not count as measured.
  CallCost Call(const OpDesc& desc, absl::string_view key, int device) const;
  double CallSeconds(const OpDesc& desc, absl::string_view key, int device) const {
    return Call(desc, key, device).alone;
  }
  // PREPARE of such a call, which keeps so many bytes of packed weights.
  CallCost Pack(absl::string_view key, uint64_t packed_bytes, int device) const;
  // The cluster's first matching link, else the table's, else 3 us and 8 GB/s. REQUIRES: two devices.
  LinkRate LinkBetween(int from_device, int to_device) const;
  // 0 within a device.
  double TransferSeconds(uint64_t bytes, int from_device, int to_device) const;
  // Every rank gets `bytes` of every other: the measured all-gather of as many ranks, else twice the longest latency of
  // a link.
  double AllGatherSeconds(int ranks, uint64_t bytes) const;
  // Reading or writing so many bytes.
  double TrafficSeconds(uint64_t bytes, int device) const;
  // Does the device share cores with another one?
  bool Shares(int device) const { return shares_[device]; }
  // Threads of all devices of its group for each core that they share, at least 1: how much longer work takes when all
  // of them have some.
  double Crowd(int device) const { return crowd_[device]; }
  // Of an instruction, beyond its kernels.
  double instruction_seconds() const { return instruction_seconds_; }

 private:
  struct NamedLink {
    std::string from, to;
    LinkRate rate;
  };
  struct Measured {
    double alone = 0, shared = 0;
  };
  void AddDevice(const proto::ClusterDevice& device, const proto::CostTable& table, bool shares);
  // What the table says of a key, -1 seconds when nothing.
  CallCost Known(absl::string_view key, int device) const;

  std::vector<std::string> names_, hosts_;
  std::vector<DeviceRates> rates_, shared_rates_;  // by device
  std::vector<bool> shares_;
  std::vector<double> crowd_;
  std::vector<double> thread_ratio_;  // threads of the measurement per thread of the device
  std::vector<NamedLink> links_;
  std::optional<LinkRate> inside_host_, between_hosts_;
  absl::flat_hash_map<std::string, Measured> measured_;
  std::vector<proto::CollectiveCost> gathers_;
  double instruction_seconds_;
};

}  // namespace millrace

#endif  // PARTITIONER_COST_COST_MODEL_H_
