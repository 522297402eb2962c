// A pipeline whose stages have replicas of their own number (PipeDream's 15-1; Narayanan et al. 2019), on paper.
//
// Micro-batches are dealt round-robin: j goes to replica j mod d of a stage of d replicas. Every replica runs its own
// in order, 1F1B (PipeDream's 1F1B-RR): a warm-up of as many F as devices from its stage on fall to each of its
// replicas,
//   ceil((d_s + d_(s+1) + ...) / d_s),
// then B (and W) and F in turn. With equal replicas that is 1F1B on each of them.
//
//   3-1, 7 micro-batches:  stage 0, replica 0 |F0 F3 B0 F6 B3 B6|   stage 1 |F0 B0 F1 B1 F2 B2 F3 B3 ...|
//                          stage 0, replica 1 |F1 F4 B1 B4      |
//                          stage 0, replica 2 |F2 F5 B2 B5      |
#ifndef PARTITIONER_SEARCH_REPLICATED_H_
#define PARTITIONER_SEARCH_REPLICATED_H_

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/paper/chain.h"
#include "partitioner/paper/machine.h"
#include "partitioner/search/estimate.h"

namespace millrace {

struct ReplicatedStage {
  int first_piece = 0;
  int64_t replicas = 1;
  friend auto operator<=>(const ReplicatedStage&, const ReplicatedStage&) = default;
};

struct ReplicatedPipeline {
  std::vector<ReplicatedStage> stages;
  int64_t tensor_parallel = 1;
  int64_t micro_batch = 1;
  int64_t micro_batches = 1;  // of a step, all replicas together
  ActivationRecompute recompute = ActivationRecompute::kNone;
  int sharding = 1;  // ZeRO level 0 or 1, of each stage over its replicas

  int64_t devices() const;
  // "3-1".
  std::string ReplicasText() const;
  // "t 1, replicas 3-1, micro-batch 2 x 64 dealt round, 1f1b, recompute none, sharding 1".
  std::string ToString() const;
  friend auto operator<=>(const ReplicatedPipeline&, const ReplicatedPipeline&) = default;
};

// What the replicas of one stage come to. Devices are handed out stage by stage, replica by replica.
struct ReplicatedStageFigures {
  int pieces = 0;
  std::string first, last;  // names of its outer pieces
  PhaseSeconds seconds;     // of one micro-batch on one replica
  double parameters = 0;    // on one device
  double memory_bytes = 0;  // of the replica that has most micro-batches
  double busy = 0;          // share of the pipeline's length, of the replicas on average
  double reduction = 0;     // seconds over its replicas
  bool inside_host = true;  // the replicas
};

struct ReplicatedStep {
  StepSeconds seconds;
  double bubble_rate = 0;
  double memory_bytes = 0;  // of the device that holds most
  std::vector<ReplicatedStageFigures> stages;
};

// F's that a replica of stage s runs before its first B.
int64_t WarmUpOf(const ReplicatedPipeline& pipeline, size_t stage);

// Of a rank of the stage from `begin` to `end`: what it holds with so many micro-batches in flight.
double MemoryOf(const PaperChain& chain, int begin, int end, int64_t replicas, int sharding, int64_t in_flight);

// Seconds of the reduction of the stage's gradients over its replicas.
double ReductionOf(const PaperChain& chain, const PaperMachine& machine, const ReplicatedPipeline& pipeline,
                   size_t stage);

// Makes the lists of all replicas and plays them in order, each action as soon as what it reads is there: this proves
// that every stage runs every micro-batch forward once and backward once, gradients in order, and that nobody waits in
// a circle (INTERNAL names the rank that does). After the pipeline, what estimate.h says, each part as long as on the
// stage that takes longest. REQUIRES: ascending stages from piece 0, at most as many devices as the machine has.
absl::StatusOr<ReplicatedStep> PlayReplicated(const PaperChain& chain, const PaperMachine& machine,
                                              const ReplicatedPipeline& pipeline);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_REPLICATED_H_
