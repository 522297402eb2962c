// The flags of `millrace schedule` for bandwidth, wires and slots.
#ifndef TOOLS_CLI_SCHEDULE_RESOURCES_H_
#define TOOLS_CLI_SCHEDULE_RESOURCES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"
#include "tools/cli/flags.h"

namespace millrace {

// Lists have one value, one for each device (links: from a device to the next, as --communication), or one for each
// stage.
class ScheduleResourceFlags {
 public:
  void Declare(FlagSet* flags);

  // A usage error says which flag is at fault.
  absl::StatusOr<ScheduleResources> For(const Schedule& schedule) const;

 private:
  absl::Status ReadWires(const std::vector<int>& rank_of_stage, int ranks, ScheduleResources* resources) const;

  std::vector<std::string> transfer_bytes_, bandwidth_, wire_, stash_slots_, receive_slots_, send_slots_;
};

// How long one transfer over each edge keeps its wires busy.
std::vector<double> BusyTimes(const ScheduleResources& resources, int stages);

}  // namespace millrace

#endif  // TOOLS_CLI_SCHEDULE_RESOURCES_H_
