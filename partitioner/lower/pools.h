// Pools of one program: residents of a stage that live and die together lie side by side, and each micro-batch in
// flight has a slot.
#ifndef PARTITIONER_LOWER_POOLS_H_
#define PARTITIONER_LOWER_POOLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/lower/comm_order.h"
#include "partitioner/lower/flow.h"
#include "runtime/plan/alignment.h"

namespace millrace {

// The stay of one micro-batch in a slot: the instructions of the rank's list that first write and last touch it.
struct Stay {
  int begin = -1, end = -1;
  int slot = -1;
};

struct PlannedPool {
  proto::Life life = proto::LIFE_UNSPECIFIED;  // of the first stage's residents
  std::string name;
  int rank = 0;
  int index = 0;                // among the pools of the rank
  std::vector<int> stages;      // whose residents lie here, each from the beginning of a slot
  std::vector<uint64_t> bytes;  // by position in `stages`: of the residents side by side
  std::vector<int> residents;
  uint64_t stride = 0;  // the largest of `bytes`
  int slots = 0;
  std::vector<Stay> stays;  // by position in `stages`, then micro-batch; never written: begin = -1

  // Where a stage's micro-batch stays. A stage that only reads what another one of the rank left has no part of its
  // own: such a pool belongs to that one alone.
  Stay& At(int stage, int micro_batch);
  const Stay& At(int stage, int micro_batch) const { return const_cast<PlannedPool*>(this)->At(stage, micro_batch); }
};

struct Pools {
  std::vector<PlannedPool> pools;
  std::vector<std::vector<int>> of_rank;    // pools, by PlannedPool.index
  std::vector<int> pool_of;                 // by resident
  std::vector<uint64_t> offset_in_slot;     // by resident
  std::vector<std::vector<int>> of_run;     // by run: pools it touches, ascending
  std::vector<std::vector<int>> loads_of;   // by stage: pools that its LOAD fills
  std::vector<std::vector<int>> writes_of;  // by run: pools it writes
};

// Groups residents by life, maker and readers; stages of one rank share a pool where that takes fewer bytes than a pool
// each and no other stage reads what lies there, also across the lives of a stash. Then gives every pool as many slots
// as `lists` (one per rank) needs, by greedy colouring of the stays in the order they begin. OUTPUT pools are alive to
// the end of the list. SENT pools get one slot more where their slots would be written again right after the SEND that
// reads them, within a small share of the rank's pools, so that a late receiver does not hold up the sender.
Pools PlanPools(const Flow& flow, const std::vector<std::vector<Step>>& lists);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_POOLS_H_
