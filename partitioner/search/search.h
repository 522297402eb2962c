// The search: which (t, p, d, micro-batch, chunks, schedule, recomputation, sharding, placement) trains a transformer
// fastest on a machine, for a given global batch. docs/search.md is the guided tour.
//
// Shapes (t, p, d, micro-batch) are walked through in order of a lower bound, the work of a rank without recomputation,
// bubble or communication; those beyond 1.5 times the best estimate so far are left out. What remains is estimated in
// closed form, what does not fit a device is set aside, and the fastest are simulated. A configuration that was not
// simulated has a bound (Estimate::bound); where that is below the answer for any of them, the answer says that it is
// not proven.
#ifndef PARTITIONER_SEARCH_SEARCH_H_
#define PARTITIONER_SEARCH_SEARCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/paper/machine.h"
#include "partitioner/paper/transformer.h"
#include "partitioner/search/configuration.h"
#include "partitioner/search/estimate.h"

namespace millrace {

struct SearchQuestion {
  Transformer model;
  PaperMachine machine;
  int64_t global_batch = 0;  // sequences of a step
  // What is fixed; 0 or nothing: free.
  int64_t tensor_parallel = 0, pipeline = 0, replicas = 0, micro_batch = 0, chunks = 0;
  std::optional<SearchedSchedule> schedule;
  std::optional<ActivationRecompute> recompute;
  std::optional<int> sharding;
  int simulations = 24;  // at most; the answer and the runners-up are among them
};

struct Candidate {
  Configuration configuration;
  Estimate estimate;
  std::optional<SimulatedStep> simulated;  // verified, then simulated
  std::string lost;                        // why it is not the answer; empty for the answer

  double seconds() const { return simulated.has_value() ? simulated->seconds.step : estimate.seconds.step; }
};

struct SearchAnswer {
  std::vector<Candidate> ranked;     // simulated, fastest first: the answer and the runners-up
  std::vector<Candidate> too_large;  // estimated to be faster than the answer, but they do not fit; fastest first
  int64_t shapes = 0;                // (t, p, d, micro-batch)
  int64_t shapes_pruned = 0;         // by the bound
  int64_t estimated = 0;
  int64_t over_memory = 0;  // of those estimated
  bool proven = false;      // nothing left out can be faster in this model
};

// All that is looked at, in a fixed order: t divides the heads and divides a host or is whole hosts; p at most the
// layers; d and the micro-batch divide the batch; devices may stay idle. 1F1B, ZB-H1 and ZB-H2, and 2 to 8 chunks
// interleaved where p divides the micro-batches. A zero-bubble schedule keeps for W what full recomputation would free,
// so it has none of that. Sequence parallelism goes with tensor parallelism, since it costs nothing. Schedules of more
// than 2^22 actions are left out. For tests: the list without bounds.
std::vector<Configuration> EveryConfiguration(const SearchQuestion& question);

// Deterministic. INVALID_ARGUMENT for numbers out of range or a question that has no configuration at all;
// RESOURCE_EXHAUSTED where nothing fits: says how much is missing and, where something was fixed, what to free.
absl::StatusOr<SearchAnswer> Search(const SearchQuestion& question);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_SEARCH_H_
