#include "runtime/plan/action.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

// Takes the digits at the front of `text`. At most nine, so that the number fits an int.
bool TakeNumber(absl::string_view* text, int* number) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) ++digits;
  if (digits == 0 || digits > 9 || !absl::SimpleAtoi(text->substr(0, digits), number)) return false;
  text->remove_prefix(digits);
  return true;
}

bool TakePhase(absl::string_view* text, proto::Phase* phase) {
  // BW before B: the longer name first.
  for (proto::Phase candidate : {proto::BW, proto::F, proto::B, proto::W, proto::R}) {
    if (absl::ConsumePrefix(text, PhaseName(candidate))) {
      *phase = candidate;
      return true;
    }
  }
  return false;
}

// Derives stages, micro_batches and rank_of_stage from the lists. Every stage up to the highest must appear, on one
// rank, so nothing allocated here is larger than the text that was read.
absl::Status Complete(Schedule* schedule) {
  int64_t actions = 0;
  for (const std::vector<Action>& list : schedule->ranks) {
    actions += list.size();
    for (const Action& action : list) {
      schedule->stages = std::max(schedule->stages, action.stage + 1);
      schedule->micro_batches = std::max(schedule->micro_batches, action.micro_batch + 1);
    }
  }
  if (schedule->stages > actions || schedule->micro_batches > actions) {
    return absl::InvalidArgumentError(absl::StrCat("schedule: ", actions, " actions cannot cover ", schedule->stages,
                                                   " stages and ", schedule->micro_batches,
                                                   " micro-batches; count both from 0 without gaps"));
  }
  schedule->rank_of_stage.assign(schedule->stages, -1);
  for (int rank = 0; rank < static_cast<int>(schedule->ranks.size()); ++rank) {
    for (const Action& action : schedule->ranks[rank]) {
      int& home = schedule->rank_of_stage[action.stage];
      if (home != -1 && home != rank) {
        return absl::InvalidArgumentError(absl::StrCat("schedule: stage ", action.stage, " is on rank ", home,
                                                       " and, by ", action.ToString(), ", on rank ", rank,
                                                       "; a stage has one rank"));
      }
      home = rank;
    }
  }
  for (int stage = 0; stage < schedule->stages; ++stage) {
    if (schedule->rank_of_stage[stage] == -1) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule: stage ", stage, " has no action, but stage ", schedule->stages - 1, " has"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view PhaseName(proto::Phase phase) {
  switch (phase) {
    case proto::F:
      return "F";
    case proto::B:
      return "B";
    case proto::W:
      return "W";
    case proto::BW:
      return "BW";
    case proto::R:
      return "R";
    default:
      return "?";
  }
}

std::string Action::ToString() const { return absl::StrCat(stage, PhaseName(phase), micro_batch); }

absl::StatusOr<Action> Action::Parse(absl::string_view text) {
  Action action;
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (TakeNumber(&rest, &action.stage) && TakePhase(&rest, &action.phase) && TakeNumber(&rest, &action.micro_batch) &&
      rest.empty()) {
    return action;
  }
  return absl::InvalidArgumentError(absl::StrCat("action \"", absl::CHexEscape(text.substr(0, 40)),
                                                 "\": want stage, kind (F, B, W, BW or R), micro-batch, as in 2F0"));
}

int Schedule::ReplicasOf(int stage) const {
  if (first_replica.empty()) return 1;
  return static_cast<int>(std::count(first_replica.begin(), first_replica.end(), first_replica[stage]));
}

std::string Schedule::ToCsv() const {
  std::string csv;
  for (const std::vector<Action>& list : ranks) {
    absl::StrAppend(&csv, absl::StrJoin(list, ",", [](std::string* out, const Action& a) { *out += a.ToString(); }),
                    "\n");
  }
  return csv;
}

absl::StatusOr<Schedule> Schedule::ParseCsv(absl::string_view text) {
  Schedule schedule;
  const std::vector<absl::string_view> lines = absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    std::vector<Action>& list = schedule.ranks.emplace_back();
    int column = 0;
    for (absl::string_view cell : absl::StrSplit(lines[i], ',')) {
      ++column;
      if (absl::StripAsciiWhitespace(cell).empty()) continue;
      absl::StatusOr<Action> action = Action::Parse(cell);
      if (!action.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("schedule: line ", i + 1, " (rank ", i, "), cell ", column, ": ", action.status().message()));
      }
      list.push_back(*action);
    }
    if (list.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule: line ", i + 1, " (rank ", i, ") has no action; one line per rank is wanted"));
    }
  }
  MR_RETURN_IF_ERROR(Complete(&schedule));
  return schedule;
}

}  // namespace millrace
