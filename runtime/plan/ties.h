// How a tied parameter goes between its places where those have different numbers of replicas. Where they have equally
// many, replica j deals with replica j.
#ifndef RUNTIME_PLAN_TIES_H_
#define RUNTIME_PLAN_TIES_H_

#include <cstdint>
#include <vector>

#include "runtime/plan/chunks.h"

namespace millrace {

// What is whole at every replica (gradients with micro-batches first, weights that are not divided): replica j of
// another place sends its gradient to, and has its weight from, replica j % owners of the owner's place.
inline int OwnerReplicaOf(int replica, int owners) { return replica % owners; }
// The replicas of the other place that deal with that one, ascending: in this order their gradients are added.
std::vector<int> ReplicasWith(int owner_replica, int owners, int replicas);
// What an owner sets aside for the gradient of one use elsewhere: room for so many of them.
inline int ArrivalsOfUse(int owners, int replicas) { return (replicas + owners - 1) / owners; }

// What is divided (gradients with replicas first, weights at level 3): each replica's piece goes to all whose pieces
// have elements of it.
struct CommonElements {
  int replica = 0;  // of the other place
  uint64_t first = 0, elements = 0;
};
// Of a range of the parameter, ascending; nothing where `elements` is 0.
std::vector<CommonElements> CommonWith(const Chunks& chunks, const BucketMember& of, int place, uint64_t first,
                                       uint64_t elements);

}  // namespace millrace

#endif  // RUNTIME_PLAN_TIES_H_
