// Addresses inside the scratch range: what lives only within one RUN, call by call.
#ifndef PARTITIONER_LOWER_SCRATCH_H_
#define PARTITIONER_LOWER_SCRATCH_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "partitioner/lower/flow.h"

namespace millrace {

// Bytes that are taken from call `first` to call `last`, both included.
struct Interval {
  int first = 0, last = 0;
  uint64_t bytes = 0;   // a multiple of 256
  uint64_t offset = 0;  // result
};

// Gives intervals that overlap in time disjoint bytes; returns the height. Offline dynamic storage allocation: the
// better of greedy by size and greedy by start, each at the lowest place that fits (Pisarchyk & Lee 2020).
uint64_t PackIntervals(std::vector<Interval>* intervals);

struct RunScratch {
  absl::flat_hash_map<int, uint64_t> value_offset;  // root -> offset within the scratch range
  std::vector<uint64_t> call_offset;                // of the kernel's own scratch, by call
  uint64_t height = 0;                              // of the layout
  uint64_t peak = 0;                                // most bytes alive at one call
};

RunScratch LayOutScratch(const Flow& flow, const PhaseRun& run);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_SCRATCH_H_
