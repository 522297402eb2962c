// Which device of a cluster each rank gets: the heaviest traffic on the fastest links.
//
// The quadratic assignment problem (Koopmans and Beckmann, 1957), by descent: every pair of ranks trades places as long
// as that shortens the sum of all transfers. It starts from the order of the list, with stages next to each other or
// with replicas next to each other.
#ifndef PARTITIONER_PLACE_H_
#define PARTITIONER_PLACE_H_

#include <cstdint>
#include <vector>

#include "partitioner/cost/cost_model.h"
#include "proto/cluster.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// What rank `from` sends to rank `to` in a step.
struct RankTraffic {
  int from = 0;
  int to = 0;
  uint64_t bytes = 0;
  uint64_t transfers = 0;
};

// Of the training program of a plan: activations and gradients between stages, tied weights, and the sums over
// replicas.
std::vector<RankTraffic> TrafficOf(const proto::ExecutionPlan& plan);

// Seconds of all transfers, one after the other, when rank r has device device_of_rank[r] of the model's cluster.
double TrafficSeconds(const std::vector<RankTraffic>& traffic, const CostModel& costs,
                      const std::vector<int>& device_of_rank);

// Orders of devices worth planning other than their own, the best first: device_of_rank of each. Only devices that are
// alike in speed, memory and kind trade places, since the cut was made for the others where they are; empty when no
// order is better by a thousandth or more, and where there are more than 512 ranks.
std::vector<std::vector<int>> BetterPlaces(const std::vector<RankTraffic>& traffic, const proto::Cluster& cluster,
                                           const CostModel& costs, int pp);

}  // namespace millrace

#endif  // PARTITIONER_PLACE_H_
