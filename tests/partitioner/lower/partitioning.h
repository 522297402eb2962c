// What the tests of lowering share: options, made-up kernel needs, models that are awkward to cut.
#ifndef TESTS_PARTITIONER_LOWER_PARTITIONING_H_
#define TESTS_PARTITIONER_LOWER_PARTITIONING_H_

#include <string>
#include <vector>

#include "partitioner/partition.h"
#include "proto/model.pb.h"

namespace millrace {

// Scratch of odd sizes for every operator, packed weights for those that ask for them.
absl::StatusOr<KernelNeeds> MadeUpNeeds(const OpDesc& desc);

// A cluster of `pp` reference devices.
PartitionOptions OptionsFor(int pp, int64_t micro_batches, const std::string& schedule = "1f1b");

// x is read in three places far apart; its copies and their gradients cross several borders.
proto::Model ThreeReaders();
// One matrix used in the first, a middle and the last layer, beside a frozen one used twice.
proto::Model TiedLayers();

// Reshaped inputs, activations, parameters and logits, an input that is read at both ends.
proto::Model Views();

// All micro-batches forward, then input gradients, then weight gradients, on every rank; stage s on rank
// rank_of_stage[s].
Schedule SplitBackward(const std::vector<int>& rank_of_stage, int ranks, int micro_batches);

}  // namespace millrace

#endif  // TESTS_PARTITIONER_LOWER_PARTITIONING_H_
