// What a stage does after the last micro-batch, and the bytes of its states: the same for equal and unequal replicas.
#ifndef PARTITIONER_SEARCH_AFTER_PIPELINE_H_
#define PARTITIONER_SEARCH_AFTER_PIPELINE_H_

#include <cstdint>

#include "partitioner/paper/machine.h"

namespace millrace {

// Float32 gradients, 2-byte parameters.
constexpr double kGradientBytes = 4, kParameterBytes = 2;

// Of a rank with so many parameters, for ZeRO levels 0 to 3 (estimate.h has the sums).
double ReductionSeconds(const PaperMachine& machine, double parameters, const RankGroup& replicas, int sharding,
                        int64_t micro_batches);
double OptimizerSeconds(const PaperMachine& machine, double parameters, int64_t replicas, int sharding);
// 18 bytes a parameter at level 0.
double StateBytes(double parameters, int64_t replicas, int sharding);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_AFTER_PIPELINE_H_
