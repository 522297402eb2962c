// What outlives a program: regions, weights, accumulators, optimizer state, packed weights, metrics, staging.
// Rules `index`, `extent`, `alignment`, `overlap`, `capacity`, `matching` (a bucket's group).
#ifndef RUNTIME_PLAN_VERIFY_PERSISTENT_H_
#define RUNTIME_PLAN_VERIFY_PERSISTENT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Bytes that something permanent occupies on a rank.
struct PersistentRange {
  enum Kind {
    kWeight,
    kAccumulator,
    kState,
    kShardState,
    kShardSum,
    kShardWeight,
    kStaging,
    kPacked,
    kMetric,
    kChunk
  };
  uint64_t begin = 0;
  uint64_t bytes = 0;
  Kind kind = kWeight;
  int index = 0;     // parameter, bucket (kShard..., kStaging), or stage (kPacked, kChunk)
  std::string name;  // of the node or metric, where there is one
};

struct PersistentMemory {
  struct Rank {
    uint64_t persistent_bytes = 0;  // sum of the persistent regions
    uint64_t transient_begin = 0;
    uint64_t transient_bytes = 0;        // 0: no transient region
    std::vector<proto::Region> regions;  // persistent, by offset
    std::vector<PersistentRange> ranges;
    absl::flat_hash_map<uint64_t, uint64_t> weights;       // offset -> bytes
    absl::flat_hash_map<uint64_t, uint64_t> accumulators;  // offset -> bytes
    // Where the values of these names must lie: "<parameter>" its weight, "grad/<parameter>@<node>" its accumulator.
    absl::flat_hash_map<std::string, std::vector<uint64_t>> named;
    // Of stages that take turns in the same bytes: (stage, address) of a whole weight or gradient -> bytes.
    absl::flat_hash_map<std::pair<int, uint64_t>, uint64_t> chunks;

    // Does one persistent region hold all these bytes?
    bool Holds(uint64_t begin, uint64_t bytes) const;
  };
  std::vector<Rank> ranks;
};

absl::StatusOr<PersistentMemory> CheckPersistentMemory(const proto::ExecutionPlan& plan);

// Adds what the programs keep there (packed weights and metrics), then refuses shared bytes. Equal packings may share,
// so may metrics of several programs and the staging of several buckets, which is never in use at the same time.
absl::Status CheckPersistentOverlap(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings,
                                    PersistentMemory* memory);

// The region that all programs lay out for themselves; it is told by its name.
bool IsTransient(const proto::Region& region);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_PERSISTENT_H_
