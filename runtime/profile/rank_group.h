// Some ranks of a plan replayed on threads of their own: first one after another, then all at the same time.
#ifndef RUNTIME_PROFILE_RANK_GROUP_H_
#define RUNTIME_PROFILE_RANK_GROUP_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/profile/call_table.h"
#include "runtime/profile/replay.h"

namespace millrace {

struct GroupTimes {
  CallTimes alone, shared;  // by index into CallTable::calls(); shared is empty for one rank
  std::vector<KernelNeeds> needs;
};

using OpenRankFn = std::function<absl::StatusOr<std::unique_ptr<Device>>(int rank)>;

// Each rank alone for `alone_seconds`, then, where there are several, all of them for `shared_seconds`; one round of
// warm-up before and at least two measured rounds of each in any case. A rank that has done its rounds goes on until
// the last one has, so that nobody is measured with fewer neighbours. Errors name the rank; the first one stops all.
absl::StatusOr<GroupTimes> MeasureGroup(const proto::ExecutionPlan& plan, const CallTable& table,
                                        const std::vector<int>& ranks, double alone_seconds, double shared_seconds,
                                        const OpenRankFn& open);

}  // namespace millrace

#endif  // RUNTIME_PROFILE_RANK_GROUP_H_
