// What transfers and collectives between in-process ranks cost on this machine.
#ifndef RUNTIME_PROFILE_LINK_PROFILE_H_
#define RUNTIME_PROFILE_LINK_PROFILE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "proto/costs.pb.h"

namespace millrace {

// Adds one link from any to any device, fitted through transfers of nothing to 4 MiB and `largest` bytes between two
// threads. The receiver has waited for longer than it spins, as a stage does whose predecessor computes: its waking up
// is part of the latency.
absl::Status MeasureLinks(uint64_t largest, proto::CostTable* table);

// Adds barrier and all-gather of so many ranks (at least 2), from the last arrival to the last rank's return.
absl::Status MeasureCollectives(int ranks, proto::CostTable* table);

// What the worker spends on an instruction beyond its kernels: a few readings of the clock and its place in the ring.
double MeasureInstruction();

}  // namespace millrace

#endif  // RUNTIME_PROFILE_LINK_PROFILE_H_
