#include "partitioner/choose_schedule.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/lower/lower.h"
#include "partitioner/schedule/make_schedule.h"

namespace millrace {
namespace {

constexpr double kEquallyShort = 1e-6;  // relative

ScheduleChoice ChoiceOf(const std::string& kind, const absl::StatusOr<proto::ExecutionPlan>& plan) {
  ScheduleChoice choice{.kind = kind, .status = plan.status()};
  if (!plan.ok()) return choice;
  choice.seconds = plan->programs(0).predicted_seconds();
  for (const proto::Rank& rank : plan->ranks())
    choice.largest_arena = std::max(choice.largest_arena, rank.arena_bytes());
  return choice;
}

bool Better(const ScheduleChoice& a, const ScheduleChoice& b) {
  if (a.status.ok() != b.status.ok()) return a.status.ok();
  if (!a.status.ok()) return false;
  if (a.seconds < b.seconds * (1 - kEquallyShort)) return true;
  return a.seconds <= b.seconds * (1 + kEquallyShort) && a.largest_arena < b.largest_arena;
}

uint64_t MissingBytesOf(const absl::Status& status) {
  uint64_t bytes = 0;
  const absl::optional<absl::Cord> payload = status.GetPayload(kMissingBytesPayload);
  return payload.has_value() && absl::SimpleAtoi(std::string(*payload), &bytes) ? bytes : 0;
}

// Tells the kind that lacks least in full, and what the others lack.
absl::Status NothingFits(const std::vector<ScheduleChoice>& choices) {
  const ScheduleChoice* least = nullptr;
  for (const ScheduleChoice& choice : choices) {
    const uint64_t missing = MissingBytesOf(choice.status);
    if (missing > 0 && (least == nullptr || missing < MissingBytesOf(least->status))) least = &choice;
  }
  if (least == nullptr) return choices[0].status;
  std::vector<std::string> others;
  for (const ScheduleChoice& choice : choices) {
    if (&choice == least) continue;
    const uint64_t missing = MissingBytesOf(choice.status);
    others.push_back(absl::StrCat(choice.kind, missing > 0 ? absl::StrCat(" lacks ", missing) : " is not to be had"));
  }
  absl::Status status = absl::ResourceExhaustedError(absl::StrCat(
      "no schedule fits; ", least->kind, " lacks least: ", least->status.message(), "; ", absl::StrJoin(others, ", ")));
  status.SetPayload(kMissingBytesPayload, *least->status.GetPayload(kMissingBytesPayload));
  return status;
}

}  // namespace

absl::StatusOr<proto::ExecutionPlan> ChooseSchedule(const proto::Model& model, const PartitionOptions& options,
                                                    const KernelNeedsFn& needs) {
  std::vector<ScheduleChoice> choices;
  absl::StatusOr<proto::ExecutionPlan> best = absl::InternalError("there are no kinds of schedules");
  size_t chosen = 0;
  std::vector<std::pair<std::string, std::string>> chosen_dumps;  // (pass, text)
  for (const std::string& kind : ScheduleKinds()) {
    PartitionOptions one = options;
    one.schedule = kind;
    if (kind != "interleaved") one.chunks = 0;
    one.considered = nullptr;
    std::vector<std::pair<std::string, std::string>> dumps;
    if (options.dump) {
      one.dump = [&dumps](absl::string_view pass, const std::string& text) {
        dumps.emplace_back(std::string(pass), text);
      };
    }
    absl::StatusOr<proto::ExecutionPlan> plan = PartitionAsAsked(model, one, needs);
    choices.push_back(ChoiceOf(kind, plan));
    if (choices.size() > 1 && !Better(choices.back(), choices[chosen])) continue;
    chosen = choices.size() - 1;
    best = std::move(plan);
    chosen_dumps = std::move(dumps);
  }
  if (absl::IsResourceExhausted(best.status())) return NothingFits(choices);
  if (!best.ok()) return best;
  for (const auto& [pass, text] : chosen_dumps) options.dump(pass, text);
  std::swap(choices[0], choices[chosen]);
  std::stable_sort(choices.begin() + 1, choices.end(), [](const ScheduleChoice& a, const ScheduleChoice& b) {
    return a.status.ok() != b.status.ok() ? a.status.ok() : a.seconds < b.seconds;
  });
  if (options.considered) options.considered(choices);
  return best;
}

}  // namespace millrace
