// How long a configuration's step takes, and what its ranks hold: in closed form, and by simulating its schedule.
//
// A step = the pipeline, then what comes after the last micro-batch, one after the other: nothing of the reduction is
// taken to overlap with compute (as in SC21 and Korthikanti). After the pipeline, for P parameters of the largest rank
// and d replicas, float32 gradients (4 bytes), 2-byte parameters:
//   level 0  all-reduce of 4 P                              1  reduce-scatter of 4 P, all-gather of 2 P
//   level 2  as 1, the reduce-scatter once per micro-batch  3  as 2, and two all-gathers of 2 P per micro-batch
// then the optimizer, 24 bytes of traffic for each parameter that the rank updates. An output matrix tied to the token
// table is summed over the first and the last stage.
//
// A transfer between stages is 2 b s h bytes, each of the t ranks sending its part; without sequence parallelism the
// parts are gathered where they arrive (SC21, section 4.1, scatter/gather).
#ifndef PARTITIONER_SEARCH_ESTIMATE_H_
#define PARTITIONER_SEARCH_ESTIMATE_H_

#include "absl/status/statusor.h"
#include "partitioner/search/configuration.h"
#include "partitioner/search/work.h"

namespace millrace {

struct StepSeconds {
  double step = 0;     // the sum of the parts
  double compute = 0;  // of a rank, on average: all micro-batches, without waiting for all-reduces
  double tensor_parallel = 0;
  double bubble = 0;     // the pipeline's length beyond the two above; transfers that ranks wait for are in it
  double reduction = 0;  // over replicas, and tied weights; gathering of parameters
  double optimizer = 0;
};

struct Estimate {
  StepSeconds seconds;
  // The configuration is not faster: the work of the busiest rank and, with one chunk, the way of the first micro-batch
  // to a stage and of the last gradient back from it; and all that follows the pipeline.
  double bound = 0;
  // Of the rank that holds most: states, activations in flight, what is remade, logits. Simulated, it lies between the
  // two; for 1F1B they are the same.
  double memory_bytes = 0;
  double least_memory_bytes = 0;
  double state_bytes = 0;  // of that rank
};

// Closed forms: 1F1B, interleaved (chunks > 1), ZB-H1 and ZB-H2 with latency (docs/schedules.md). Equal stages are
// exact where the latency is small; else a guide. Memory in flight is 1F1B's, ZB's with MB for MW and MW for MB, and
// the interleaved schedule's with the largest and the smallest chunk of a rank. States are 18 bytes a parameter at
// level 0: ZeRO's 16 with float32 gradients.
Estimate EstimateStep(const Configuration& configuration, WorkModel* model);

struct SimulatedStep {
  StepSeconds seconds;
  double bubble_rate = 0;   // of the pipeline alone, as SimulateSchedule says it
  double memory_bytes = 0;  // of the rank that holds most
};

// Makes the schedule, proves it (VerifySchedule) and plays it with every stage's own times and every edge's own link.
absl::StatusOr<SimulatedStep> SimulateStep(const Configuration& configuration, WorkModel* model);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_ESTIMATE_H_
