#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/schedule.h"
#include "runtime/plan/schedule_deadlock.h"
#include "runtime/plan/schedule_walk.h"

namespace millrace {
namespace {

absl::Status Breaks(absl::string_view rule, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schedule: rule ", rule, ": ", what));
}

// What a stage has done with a micro-batch so far.
enum : char { kForward = 1, kRecompute = 2, kInput = 4, kWeight = 8, kAll = kForward | kInput | kWeight };

char BitsOf(proto::Phase phase) {
  switch (phase) {
    case proto::F:
      return kForward;
    case proto::R:
      return kRecompute;
    case proto::B:
      return kInput;
    case proto::W:
      return kWeight;
    case proto::BW:
      return kInput | kWeight;
    default:
      return 0;
  }
}

class Rules {
 public:
  explicit Rules(const Schedule& schedule) : schedule_(schedule) {}

  absl::Status Check() {
    MR_RETURN_IF_ERROR(CheckShape());
    done_.assign(static_cast<size_t>(schedule_.stages) * schedule_.micro_batches, 0);
    next_input_.assign(schedule_.stages, 0);
    next_weight_.assign(schedule_.stages, 0);
    for (rank_ = 0; rank_ < static_cast<int>(schedule_.ranks.size()); ++rank_) {
      for (at_ = 0; at_ < schedule_.ranks[rank_].size(); ++at_) MR_RETURN_IF_ERROR(CheckAction());
    }
    return CheckAllDone();
  }

 private:
  const Action& action() const { return schedule_.ranks[rank_][at_]; }
  absl::Status Breaks(absl::string_view rule, absl::string_view what) const {
    return millrace::Breaks(rule,
                            absl::StrCat("rank ", rank_, ", action ", at_, " (", action().ToString(), "): ", what));
  }

  // Sizes before tables are allocated: nothing is larger than the lists themselves.
  absl::Status CheckShape() const {
    const int64_t ranks = schedule_.ranks.size();
    if (schedule_.stages < 1 || schedule_.micro_batches < 1 || ranks < 1) {
      return millrace::Breaks("shape", absl::StrCat(schedule_.stages, " stages, ", schedule_.micro_batches,
                                                    " micro-batches, ", ranks, " ranks; each must be at least 1"));
    }
    if (static_cast<int>(schedule_.rank_of_stage.size()) != schedule_.stages) {
      return millrace::Breaks("placement", absl::StrCat(schedule_.rank_of_stage.size(), " placed stages, but ",
                                                        schedule_.stages, " stages"));
    }
    for (int stage = 0; stage < schedule_.stages; ++stage) {
      const int rank = schedule_.rank_of_stage[stage];
      if (rank >= 0 && rank < ranks) continue;
      return millrace::Breaks("placement",
                              absl::StrCat("stage ", stage, " is on rank ", rank, "; the ranks are 0 to ", ranks - 1));
    }
    int64_t actions = 0;
    for (const auto& list : schedule_.ranks) actions += list.size();
    // Divided, not multiplied: no product of numbers from a file can overflow.
    if (schedule_.stages > actions / schedule_.micro_batches) {
      return millrace::Breaks(
          "completeness", absl::StrCat(actions, " actions; ", schedule_.stages, " stages and ", schedule_.micro_batches,
                                       " micro-batches need a forward and a backward pass each"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckAction() {
    const Action& a = action();
    if (a.stage < 0 || a.stage >= schedule_.stages || a.micro_batch < 0 || a.micro_batch >= schedule_.micro_batches ||
        BitsOf(a.phase) == 0) {
      return Breaks("shape", absl::StrCat("there are stages 0 to ", schedule_.stages - 1, ", micro-batches 0 to ",
                                          schedule_.micro_batches - 1, " and phases F, B, W, BW and R"));
    }
    if (schedule_.rank_of_stage[a.stage] != rank_) {
      return Breaks("placement", absl::StrCat("stage ", a.stage, " is on rank ", schedule_.rank_of_stage[a.stage]));
    }
    char& done = done_[static_cast<size_t>(a.stage) * schedule_.micro_batches + a.micro_batch];
    const char bits = BitsOf(a.phase);
    if ((done & bits) != 0) return Breaks("completeness", "done a second time");
    if (a.phase != proto::F && (done & kForward) == 0) return Breaks("order", Before(proto::F));
    if (a.phase == proto::R && (done & kInput) != 0) {
      return Breaks("order", "recomputed after the backward pass that would read it");
    }
    if (a.phase == proto::W && (done & kInput) == 0) return Breaks("order", Before(proto::B));
    if ((bits & kInput) != 0) MR_RETURN_IF_ERROR(CheckSumOrder("backward", &next_input_[a.stage]));
    if ((bits & kWeight) != 0) MR_RETURN_IF_ERROR(CheckSumOrder("weight-gradient", &next_weight_[a.stage]));
    done |= bits;
    return absl::OkStatus();
  }

  std::string Before(proto::Phase phase) const {
    return absl::StrCat("comes before ", Action{action().stage, phase, action().micro_batch}.ToString());
  }

  // Gradients are added in micro-batch order, whatever the schedule: floating-point sums depend on it.
  absl::Status CheckSumOrder(absl::string_view pass, int* next) const {
    const int due = (*next)++;
    if (action().micro_batch == due) return absl::OkStatus();
    return Breaks("sum order",
                  absl::StrCat("the next ", pass, " pass of stage ", action().stage, " is due for micro-batch ", due,
                               "; gradients are summed in micro-batch order"));
  }

  absl::Status CheckAllDone() const {
    for (size_t i = 0; i < done_.size(); ++i) {
      if ((done_[i] & kAll) == kAll) continue;
      const proto::Phase missing = (done_[i] & kForward) == 0 ? proto::F
                                   : (done_[i] & kInput) == 0 ? proto::B
                                                              : proto::W;
      const int stage = i / schedule_.micro_batches;
      return millrace::Breaks(
          "completeness", absl::StrCat("rank ", schedule_.rank_of_stage[stage], " has no ",
                                       Action{stage, missing, static_cast<int>(i % schedule_.micro_batches)}.ToString(),
                                       missing == proto::F ? "" : " (nor BW)"));
    }
    return absl::OkStatus();
  }

  const Schedule& schedule_;
  std::vector<char> done_;        // [stage * micro-batches + micro-batch]
  std::vector<int> next_input_;   // by stage: the micro-batch whose B is due
  std::vector<int> next_weight_;  // by stage
  int rank_ = 0;
  size_t at_ = 0;
};

}  // namespace

absl::Status VerifySchedule(const Schedule& schedule) {
  MR_RETURN_IF_ERROR(Rules(schedule).Check());
  const std::vector<size_t> next = WalkSchedule(schedule, [](int, size_t) {});
  for (size_t rank = 0; rank < next.size(); ++rank) {
    if (next[rank] < schedule.ranks[rank].size()) return Breaks("deadlock", DescribeDeadlock(schedule, next));
  }
  return absl::OkStatus();
}

}  // namespace millrace
