// What flows where in one program: the RUNs of every stage, the tensors that outlive a RUN and the rank they lie on,
// the transfers between ranks.
#ifndef PARTITIONER_LOWER_FLOW_H_
#define PARTITIONER_LOWER_FLOW_H_

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "partitioner/lower/program_source.h"

namespace millrace {

// One phase of one stage, as a RUN executes it. B and W nodes stand in BW in the order of one-stage execution.
struct PhaseRun {
  int stage = 0;
  proto::Phase phase = proto::F;
  std::vector<int> nodes;          // kernel calls, in order; views make none
  std::vector<int> reads, writes;  // residents, each once
  std::vector<int> transfers;      // that start when this run ends
  double seconds = 0;
  double seconds_shared = 0;  // with the ranks that share the cores of its rank busy
};

// A tensor (a root value of the graph) on one rank, that outlives the RUN that writes it or comes from elsewhere. One
// copy per micro-batch in flight. Values that are not resident live in scratch.
struct Resident {
  int value = -1;  // root
  int rank = 0;
  int stage = 0;  // that makes it; of RECEIVED and LOADED: that reads it first
  proto::Life life = proto::LIFE_UNSPECIFIED;
  std::vector<int> writers, readers;  // runs on this rank; no writers: RECEIVED, LOADED
};

// One tensor to one rank, per micro-batch that both its stages take; every stage there reads the same copy.
struct Transfer {
  int from = 0, to = 0;  // residents
  int from_stage = 0, to_stage = 0;
  bool backward = false;
  uint64_t bytes = 0;
};

// A tensor that goes from one stage to another of the same rank: the same bytes, nothing moves.
struct StageAlias {
  int resident = 0;
  int from_stage = 0, to_stage = 0;
  bool backward = false;
};

struct Flow {
  const ProgramSource* source = nullptr;
  std::vector<PhaseRun> runs;
  std::vector<std::array<int, 6>> run_of;  // [stage][phase], -1: the schedule has none; in order of execution per stage
  std::vector<Resident> residents;
  std::vector<Transfer> transfers;
  std::vector<StageAlias> aliases;
  absl::flat_hash_map<std::pair<int, int>, int> resident_at;  // (stage that uses it, root)

  // The stage that the graph's nodes name: of replicas, the first.
  int NamedAs(int stage) const {
    const std::vector<int>& first = source->schedule.first_replica;
    return first.empty() ? stage : first[stage];
  }
  int RankOf(int stage) const { return source->schedule.rank_of_stage[stage]; }
  // The resident that stage `stage` uses for a root value, -1: none, it is scratch or permanent.
  int ResidentAt(int stage, int root) const;
};

// Of the bytes that stages hold for their backward passes, the share that they hold from B to W: what the zero-bubble
// papers call M_W / M_B. 0 where no stage has a W of its own.
double WeightStashShare(const Flow& flow);

// Seconds of a run are its calls' on the device of its rank, plus `instruction_seconds`. `source` must outlive the
// result.
Flow FlowOf(const ProgramSource& source, double instruction_seconds);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_FLOW_H_
