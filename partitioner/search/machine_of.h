// A cluster file as a machine on paper: equal devices in equal hosts.
#ifndef PARTITIONER_SEARCH_MACHINE_OF_H_
#define PARTITIONER_SEARCH_MACHINE_OF_H_

#include "absl/status/statusor.h"
#include "partitioner/paper/machine.h"
#include "proto/cluster.pb.h"

namespace millrace {

// Devices of different speed or memory count as the slowest and the smallest of them, hosts of different size as the
// smallest: what is promised then holds on any of them. Where the cluster is silent, devices of kind "cuda" and their
// links are those of PaperMachine; others do what RatesOf (cost/cost_model.h) says and hand over at 8 GB/s and 3 us.
// A device's peak is peak_flops_per_second, else flops_per_second; it reaches flops_per_second, else the fraction of
// PaperDevice. INVALID_ARGUMENT for devices of several kinds.
// REQUIRES: CheckCluster has passed; groups may stand as groups.
absl::StatusOr<PaperMachine> MachineOf(const proto::Cluster& cluster);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_MACHINE_OF_H_
