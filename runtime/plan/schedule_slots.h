// Who holds the slots of stages while a schedule plays.
#ifndef RUNTIME_PLAN_SCHEDULE_SLOTS_H_
#define RUNTIME_PLAN_SCHEDULE_SLOTS_H_

#include <deque>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// A tensor that has been made and waits for a receive slot.
struct WaitingTensor {
  Action maker;
  double made;
};

// Directions: 0 forward (activations), 1 backward (gradients).
class ScheduleSlots {
 public:
  ScheduleSlots(const Schedule& schedule, const ScheduleResources& resources);

  // Does this action take a stash slot? F, unless an R of the same micro-batch takes it; R.
  bool TakesStash(const Action& action) const;
  bool StashIsFree(int stage) const { return stash_.empty() || stash_[stage] > 0; }
  void TakeStash(int stage) { Add(&stash_, stage, -1); }
  void FreeStash(int stage) { Add(&stash_, stage, 1); }

  bool TakeReceive(int direction, int stage) {
    if (receive_[direction].empty()) return true;
    if (receive_[direction][stage] == 0) return false;
    --receive_[direction][stage];
    return true;
  }
  void FreeReceive(int direction, int stage) { Add(&receive_[direction], stage, 1); }
  // Those that wait for a receive slot of the stage, first come first.
  std::deque<WaitingTensor>& Waiting(int direction, int stage) { return waiting_[Key(direction, stage)]; }
  bool AnyWaiting(int direction, int stage) const {
    const auto at = waiting_.find(Key(direction, stage));
    return at != waiting_.end() && !at->second.empty();
  }

  // The send slots of a stage: its n-th tensor needs the (n - slots)-th to have left.
  bool SendIsLimited() const { return !send_limit_.empty(); }
  int SendLimit(int stage) const { return send_limit_[stage]; }
  // Transfers of the stage by number.
  std::vector<int>& Sent(int direction, int stage) { return sent_[direction][stage]; }
  // How many tensors the stage has begun to make.
  int& Begun(int direction, int stage) { return begun_[direction][stage]; }

 private:
  static void Add(std::vector<int>* slots, int stage, int change) {
    if (!slots->empty()) (*slots)[stage] += change;
  }
  int64_t Key(int direction, int stage) const { return int64_t{stage} * 2 + direction; }

  const int micro_batches_;
  std::vector<char> recomputed_;           // by stage and micro-batch; empty: none is
  std::vector<int> stash_, receive_[2];    // free ones, by stage; empty: any number
  const std::vector<int> send_limit_;      // by stage; empty: any number
  std::vector<std::vector<int>> sent_[2];  // where sends are limited
  std::vector<int> begun_[2];              // likewise
  absl::flat_hash_map<int64_t, std::deque<WaitingTensor>> waiting_;
};

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_SLOTS_H_
