// The kernel calls of every stage with the addresses of their operands: Program.stages and Program.edges.
#ifndef PARTITIONER_LOWER_STAGE_PROGRAMS_H_
#define PARTITIONER_LOWER_STAGE_PROGRAMS_H_

#include <vector>

#include "partitioner/lower/persistent.h"
#include "partitioner/lower/pools.h"
#include "partitioner/lower/scratch.h"
#include "proto/plan.pb.h"

namespace millrace {

// Where a program's values are. Everything must outlive the call.
struct Layout {
  const Flow* flow = nullptr;
  const Pools* pools = nullptr;
  const Persistent* persistent = nullptr;
  std::vector<RunScratch> scratch;       // by run
  std::vector<uint64_t> scratch_offset;  // by rank: where the scratch range begins
};

// Adds stages and edges to `program`; returns the edge of each transfer. A view with other dimensions than its root is
// a value of its own over the same bytes; one with the same dimensions is the root. Each packing of a rank is prepared
// by the first stage of the program that uses it.
std::vector<int> EmitStages(const Layout& layout, proto::Program* program);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_STAGE_PROGRAMS_H_
