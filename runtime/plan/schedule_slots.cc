#include "runtime/plan/schedule_slots.h"

namespace millrace {

ScheduleSlots::ScheduleSlots(const Schedule& schedule, const ScheduleResources& resources)
    : micro_batches_(schedule.micro_batches),
      stash_(resources.stash_slots),
      receive_{resources.receive_slots, resources.receive_slots},
      send_limit_(resources.send_slots) {
  if (!stash_.empty()) {
    recomputed_.assign(static_cast<size_t>(schedule.stages) * schedule.micro_batches, false);
    for (const std::vector<Action>& list : schedule.ranks) {
      for (const Action& a : list) {
        if (a.phase == proto::R) recomputed_[static_cast<size_t>(a.stage) * micro_batches_ + a.micro_batch] = true;
      }
    }
  }
  if (send_limit_.empty()) return;
  for (int direction : {0, 1}) {
    sent_[direction].resize(schedule.stages);
    begun_[direction].assign(schedule.stages, 0);
  }
}

bool ScheduleSlots::TakesStash(const Action& action) const {
  if (stash_.empty()) return false;
  return action.phase == proto::R ||
         (action.phase == proto::F &&
          !recomputed_[static_cast<size_t>(action.stage) * micro_batches_ + action.micro_batch]);
}

}  // namespace millrace
