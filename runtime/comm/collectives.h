// Sums and copies over a group of ranks. Started, then finished, so that they overlap with what a rank computes.
#ifndef RUNTIME_COMM_COLLECTIVES_H_
#define RUNTIME_COMM_COLLECTIVES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "runtime/comm/communicator.h"

namespace millrace {

enum class CollectiveKind { kReduceScatter, kAllReduce, kAllGather, kBroadcast };

// One collective of one rank. The whole is a vector of `count` elements, cut into a shard for each rank of the group.
//
//   kind            input             output
//   kReduceScatter  the whole         this rank's shard of the sum
//   kAllReduce      the whole         the whole sum
//   kAllGather      this rank's shard the whole
//   kBroadcast      the whole, at the root only (others: ignored)  the whole
//
// In place, as with NCCL: a shard may lie in its place in the whole, and a whole input may be the output. Otherwise
// nothing overlaps. All memory stays valid and untouched by others from Start to Finish.
struct Collective {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  DType dtype = proto::F32;
  std::vector<int> ranks;        // the group in ascending order, this rank among them
  uint64_t count = 0;            // elements of the whole
  std::vector<uint64_t> shards;  // elements of each rank, summing to `count`; empty: EvenShards
  int root = 0;                  // kBroadcast: a rank, not an index
  uint64_t tag = 0;              // no transfer in flight with these ranks has the same
  const void* input = nullptr;
  void* output = nullptr;
  void* staging = nullptr;  // StagingBytes, which nobody else uses from Start to Finish
};

// As even as can be, the larger ones first.
std::vector<uint64_t> EvenShards(uint64_t count, int ranks);
// What a rank's collective needs beside input and output: for sums, one shard from each other rank.
uint64_t StagingBytes(const Collective& collective, int rank);

// One per rank and communicator; the communicator's thread only.
class Collectives {
 public:
  using Ticket = uint64_t;

  virtual ~Collectives() = default;

  // Starts and returns at once. INVALID_ARGUMENT for a group without this rank, shards that do not sum up, or sums of
  // a type that has none (u8, bool: those can be gathered and broadcast).
  virtual absl::StatusOr<Ticket> Start(const Collective& collective) = 0;
  // Takes the steps that have become possible, sums included, and says whether Finish would return at once.
  virtual absl::StatusOr<bool> Advance(Ticket ticket) = 0;
  // Blocks until the output is there. `what` describes the wait, as in Communicator::Wait, whose errors it returns.
  virtual absl::Status Finish(Ticket ticket, const std::function<std::string()>& what) = 0;
};

// By direct exchange: each rank sends every other its shard's part, as many bytes as a ring moves, and adds what it
// gets in the group's order: ((x0 + x1) + x2) + ... in the element's type, for bf16 and f16 in f32 with one rounding at
// the end, for integers modulo 2^n. So the bits are the same over every communicator. The communicator must outlive it.
std::unique_ptr<Collectives> MakeDirectCollectives(Communicator* communicator);

}  // namespace millrace

#endif  // RUNTIME_COMM_COLLECTIVES_H_
