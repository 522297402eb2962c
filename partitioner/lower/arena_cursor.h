// Regions of a rank's arena, filled one after another.
#ifndef PARTITIONER_LOWER_ARENA_CURSOR_H_
#define PARTITIONER_LOWER_ARENA_CURSOR_H_

#include <cstdint>
#include <string>

#include "partitioner/lower/persistent.h"
#include "partitioner/lower/pools.h"

namespace millrace {

// Hands out the bytes of one rank's arena from 0 on, region by region.
class ArenaCursor {
 public:
  explicit ArenaCursor(Persistent::RankMemory* memory) : memory_(memory) {}

  void Begin(proto::Life life, const std::string& name) {
    proto::Region region;
    region.set_life(life);
    region.set_name(name);
    region.set_offset(memory_->bytes);
    region_ = region;
  }
  uint64_t Take(uint64_t bytes) {
    const uint64_t at = memory_->bytes;
    memory_->bytes += RoundUp(bytes);
    return at;
  }
  void End() {
    region_.set_bytes(memory_->bytes - region_.offset());
    if (region_.bytes() > 0) memory_->regions.push_back(region_);
  }

 private:
  Persistent::RankMemory* memory_;
  proto::Region region_;
};

}  // namespace millrace

#endif  // PARTITIONER_LOWER_ARENA_CURSOR_H_
