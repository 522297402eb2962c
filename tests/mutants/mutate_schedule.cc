#include "tests/mutants/mutate_schedule.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

class Mutator {
 public:
  Mutator(const Schedule& schedule, uint64_t seed) : mutant_{schedule, ""}, random_(seed) {}

  ScheduleMutant Make() {
    const Schedule original = mutant_.schedule;
    for (int changes = Below(5) == 0 ? 2 : 1; changes > 0; --changes) ChangeOnce();
    while (mutant_.schedule == original) ChangeOnce();  // a change that found nothing to do, or undid another
    return std::move(mutant_);
  }

 private:
  using List = std::vector<Action>;

  int Below(size_t n) { return static_cast<int>(random_() % n); }
  // Any of n but the given one; the given one where there is no other.
  int OtherThan(int given, int n) { return n < 2 ? given : (given + 1 + Below(n - 1)) % n; }

  void ChangeOnce() {
    const auto change = static_cast<ScheduleChange>(Below(kScheduleChanges));
    const int rank = Below(mutant_.schedule.ranks.size());
    List& list = mutant_.schedule.ranks[rank];
    if (list.size() < 2) return;
    const int at = Below(list.size());
    absl::StrAppend(&mutant_.what, mutant_.what.empty() ? "" : ", then ", NameOf(change), ": rank ", rank, ", action ",
                    at, " ", list[at].ToString());
    Apply(change, rank, at);
  }

  void Apply(ScheduleChange change, int rank, int at) {
    const Schedule& schedule = mutant_.schedule;
    List& list = mutant_.schedule.ranks[rank];
    Action& action = list[at];
    switch (change) {
      case ScheduleChange::kDrop:
        list.erase(list.begin() + at);
        return;
      case ScheduleChange::kSwapNeighbours:
        std::swap(action, list[at + 1 < static_cast<int>(list.size()) ? at + 1 : at - 1]);
        return;
      case ScheduleChange::kSwapFar:
        std::swap(action, list[OtherThan(at, static_cast<int>(list.size()))]);
        return;
      case ScheduleChange::kMove: {
        const Action moved = action;
        list.erase(list.begin() + at);
        list.insert(list.begin() + Below(list.size() + 1), moved);
        return;
      }
      case ScheduleChange::kDuplicate: {
        const Action again = action;
        list.insert(list.begin() + Below(list.size() + 1), again);
        return;
      }
      case ScheduleChange::kRetargetMicroBatch:
        action.micro_batch = OtherThan(action.micro_batch, schedule.micro_batches);
        return;
      case ScheduleChange::kRetargetStage:
        action.stage = OtherThan(action.stage, schedule.stages);
        return;
      case ScheduleChange::kRetargetPhase:
        action.phase = static_cast<proto::Phase>(proto::F + OtherThan(action.phase - proto::F, 5));
        return;
      case ScheduleChange::kOtherRank: {
        const Action moved = action;
        list.erase(list.begin() + at);
        List& other = mutant_.schedule.ranks[OtherThan(rank, static_cast<int>(schedule.ranks.size()))];
        other.insert(other.begin() + Below(other.size() + 1), moved);
        return;
      }
      case ScheduleChange::kSplit:
        Split(&list, at);
        return;
      case ScheduleChange::kJoin:
        Join(&list, at);
        return;
    }
  }

  // The first BW from `at` on. Every second time its W comes right behind, where the sums stay in order.
  void Split(List* list, int at) {
    while (at < static_cast<int>(list->size()) && (*list)[at].phase != proto::BW) ++at;
    if (at == static_cast<int>(list->size())) return;
    Action weight = (*list)[at];
    (*list)[at].phase = proto::B;
    weight.phase = proto::W;
    const int later = Below(2) == 0 ? 0 : Below(list->size() - at);
    list->insert(list->begin() + at + 1 + later, weight);
  }

  void Join(List* list, int at) {
    while (at < static_cast<int>(list->size()) && (*list)[at].phase != proto::B) ++at;
    if (at == static_cast<int>(list->size())) return;
    const Action weight = {(*list)[at].stage, proto::W, (*list)[at].micro_batch};
    (*list)[at].phase = proto::BW;
    const auto found = std::find(list->begin(), list->end(), weight);
    if (found != list->end()) list->erase(found);
  }

  ScheduleMutant mutant_;
  std::mt19937_64 random_;
};

}  // namespace

std::string NameOf(ScheduleChange change) {
  switch (change) {
    case ScheduleChange::kDrop:
      return "drop";
    case ScheduleChange::kSwapNeighbours:
      return "swap neighbours";
    case ScheduleChange::kSwapFar:
      return "swap far";
    case ScheduleChange::kMove:
      return "move";
    case ScheduleChange::kDuplicate:
      return "duplicate";
    case ScheduleChange::kRetargetMicroBatch:
      return "retarget micro-batch";
    case ScheduleChange::kRetargetStage:
      return "retarget stage";
    case ScheduleChange::kRetargetPhase:
      return "retarget phase";
    case ScheduleChange::kOtherRank:
      return "other rank";
    case ScheduleChange::kSplit:
      return "split";
    case ScheduleChange::kJoin:
      return "join";
  }
  return "";
}

ScheduleMutant MutateSchedule(const Schedule& schedule, uint64_t seed) { return Mutator(schedule, seed).Make(); }

}  // namespace millrace
