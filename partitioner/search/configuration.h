// One way to train a model on a machine: a point of the space that the search walks through.
#ifndef PARTITIONER_SEARCH_CONFIGURATION_H_
#define PARTITIONER_SEARCH_CONFIGURATION_H_

#include <cstdint>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"
#include "partitioner/paper/transformer.h"

namespace millrace {

// Who are neighbours. Tensor-parallel ranks always are; next to them stand the replicas of a stage (Megatron's order),
// or the stages of a replica. Devices are counted through host by host.
enum class Placement { kReplicasTogether, kStagesTogether };

// The schedules that the search chooses from, by their names in ScheduleKinds().
enum class SearchedSchedule { k1F1B, kInterleaved, kZbH1, kZbH2 };

struct Configuration {
  int64_t tensor_parallel = 1;  // t
  int64_t pipeline = 1;         // p, ranks of a pipeline
  int64_t replicas = 1;         // d, of every stage
  int64_t micro_batch = 1;      // sequences
  int64_t micro_batches = 1;    // of a step, in each replica
  int64_t chunks = 1;           // v, stages of a rank
  SearchedSchedule schedule = SearchedSchedule::k1F1B;
  ActivationRecompute recompute = ActivationRecompute::kNone;
  int sharding = 0;                // ZeRO level, see paper/model_states.h
  bool sequence_parallel = false;  // within tensor-parallel groups
  Placement placement = Placement::kReplicasTogether;

  int64_t devices() const { return tensor_parallel * pipeline * replicas; }
  int64_t stages() const { return pipeline * chunks; }
  // "t 8, p 64, d 6, micro-batch 1 x 512, 1f1b, recompute full, sharding 0"; chunks where there are several, and
  // "stages together" where they are.
  std::string ToString() const;
  friend bool operator==(const Configuration&, const Configuration&) = default;
  friend auto operator<=>(const Configuration&, const Configuration&) = default;
};

absl::string_view NameOf(SearchedSchedule schedule);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_CONFIGURATION_H_
