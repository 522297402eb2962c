#include "runtime/plan/schedule_costs.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(absl::StrCat("schedule costs: ", what)); }

absl::Status CheckCount(absl::string_view name, size_t count, int stages) {
  if (static_cast<int>(count) == stages) return absl::OkStatus();
  return Bad(absl::StrCat(count, " values of ", name, " for ", stages, " stages; give one per stage"));
}

absl::Status CheckTimes(absl::string_view name, const std::vector<double>& values, int stages, bool may_be_empty) {
  if (may_be_empty && values.empty()) return absl::OkStatus();
  MR_RETURN_IF_ERROR(CheckCount(name, values.size(), stages));
  for (int s = 0; s < stages; ++s) {
    if (std::isfinite(values[s]) && values[s] >= 0) continue;
    return Bad(absl::StrCat(name, " of stage ", s, " is ", values[s], "; a cost is finite and not negative"));
  }
  return absl::OkStatus();
}

absl::Status CheckBandwidth(const std::vector<double>& values, int stages) {
  if (values.empty()) return absl::OkStatus();
  MR_RETURN_IF_ERROR(CheckCount("bandwidth", values.size(), stages));
  for (int s = 0; s < stages; ++s) {
    if (values[s] > 0) continue;  // not: a NaN
    return Bad(absl::StrCat("bandwidth of stage ", s, " is ", values[s],
                            "; nothing would ever arrive: give a number above 0, or infinity"));
  }
  return absl::OkStatus();
}

absl::Status CheckSlots(absl::string_view name, const std::vector<int>& values, int stages) {
  if (values.empty()) return absl::OkStatus();
  MR_RETURN_IF_ERROR(CheckCount(name, values.size(), stages));
  for (int s = 0; s < stages; ++s) {
    if (values[s] >= 1) continue;
    return Bad(absl::StrCat(name, " of stage ", s, " is ", values[s], "; a stage needs at least 1"));
  }
  return absl::OkStatus();
}

// Of everything in a row: no makespan and no memory is larger.
absl::Status CheckSums(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources) {
  double time = 0, memory = 0;
  for (int s = 0; s < schedule.stages; ++s) {
    time += costs.forward[s] + costs.backward_input[s] + costs.backward_weight[s] +
            (costs.recompute.empty() ? costs.forward[s] : costs.recompute[s]) + 2 * costs.communication[s];
    if (!resources.transfer_bytes.empty() && !resources.bandwidth.empty()) {
      time += 2 * (resources.transfer_bytes[s] / resources.bandwidth[s]);
    }
    if (!costs.stash.empty()) memory += costs.stash[s];
  }
  if (std::isfinite(time * schedule.micro_batches) && std::isfinite(memory * schedule.micro_batches)) {
    return absl::OkStatus();
  }
  return Bad(
      "the times or the memory of all stages and micro-batches add up to more than a number can hold; use a "
      "larger unit");
}

}  // namespace

absl::Status CheckCosts(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources) {
  const int stages = schedule.stages;
  MR_RETURN_IF_ERROR(CheckTimes("forward", costs.forward, stages, false));
  MR_RETURN_IF_ERROR(CheckTimes("backward_input", costs.backward_input, stages, false));
  MR_RETURN_IF_ERROR(CheckTimes("backward_weight", costs.backward_weight, stages, false));
  MR_RETURN_IF_ERROR(CheckTimes("recompute", costs.recompute, stages, true));
  MR_RETURN_IF_ERROR(CheckTimes("communication", costs.communication, stages, false));
  MR_RETURN_IF_ERROR(CheckTimes("stash", costs.stash, stages, true));
  MR_RETURN_IF_ERROR(CheckTimes("weight_stash", costs.weight_stash, stages, true));
  MR_RETURN_IF_ERROR(CheckTimes("transfer_bytes", resources.transfer_bytes, stages, true));
  MR_RETURN_IF_ERROR(CheckBandwidth(resources.bandwidth, stages));
  if (!resources.wire_of_edge.empty()) MR_RETURN_IF_ERROR(CheckCount("wires", resources.wire_of_edge.size(), stages));
  MR_RETURN_IF_ERROR(CheckSlots("stash_slots", resources.stash_slots, stages));
  MR_RETURN_IF_ERROR(CheckSlots("receive_slots", resources.receive_slots, stages));
  MR_RETURN_IF_ERROR(CheckSlots("send_slots", resources.send_slots, stages));
  return CheckSums(schedule, costs, resources);
}

}  // namespace millrace
