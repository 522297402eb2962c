// Seconds of kernel calls, transfers and plain memory traffic on the devices of a cluster.
//
// A call that the cost table knows costs what was measured: with the sharing ranks busy, where the device shares its
// cores with another one of the cluster and that was measured, else alone. Every other call follows the roofline
// (Williams, Waterman, Patterson 2009): the longer of arithmetic at the device's rate and memory traffic at its
// bandwidth, plus a fixed cost per call. Devices whose kind is unknown count as "cpu".
#ifndef PARTITIONER_COST_COST_MODEL_H_
#define PARTITIONER_COST_COST_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"
#include "proto/cluster.pb.h"
#include "proto/costs.pb.h"

namespace millrace {

struct DeviceRates {
  double matmul_flops = 0;  // FLOP/s of matrix multiplication and what is built from it
  double other_flops = 0;   // FLOP/s of everything else
  double bytes = 0;         // bytes/s of memory traffic
  double call_seconds = 0;  // fixed cost of one kernel call
};

// Per thread of a CPU 100 GFLOP/s in matrix multiplication and 10 elsewhere; 12 GB/s; 1 us a call. Fields of the device
// that are set win. threads = 0 counts as one.
DeviceRates RatesOf(const proto::ClusterDevice& device);

// Immutable; devices are indices into the cluster's list.
class CostModel {
 public:
  CostModel(const proto::Cluster& cluster, const proto::CostTable& table);

  // `key` is desc.Key(), which callers have at hand.
  double CallSeconds(const OpDesc& desc, absl::string_view key, int device) const;
  // 0 within a device. The cluster's first matching link, else the table's, else 3 us and 8 GB/s.
  double TransferSeconds(uint64_t bytes, int from_device, int to_device) const;
  // Reading or writing so many bytes.
  double TrafficSeconds(uint64_t bytes, int device) const;
  // Of an instruction, beyond its kernels.
  double instruction_seconds() const { return instruction_seconds_; }

 private:
  struct LinkRate {
    std::string from, to;
    double latency = 0, bytes = 0;
  };
  std::vector<std::string> names_;
  std::vector<DeviceRates> rates_;
  std::vector<bool> shares_;
  std::vector<LinkRate> links_;
  struct Measured {
    double alone = 0, shared = 0;
  };
  absl::flat_hash_map<std::string, Measured> measured_;
  double instruction_seconds_;
};

}  // namespace millrace

#endif  // PARTITIONER_COST_COST_MODEL_H_
