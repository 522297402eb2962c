#include "runtime/plan/pytorch_csv.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

struct Letter {
  const char* theirs;
  const char* ours;
  proto::Phase phase;
};
constexpr Letter kLetters[] = {
    {"F", "F", proto::F}, {"I", "B", proto::B}, {"W", "W", proto::W}, {"B", "BW", proto::BW}};

// One cell in our letters.
absl::StatusOr<std::string> Translated(absl::string_view cell) {
  size_t begin = 0, end = cell.size();
  while (begin < end && absl::ascii_isdigit(cell[begin])) ++begin;
  while (end > begin && absl::ascii_isdigit(cell[end - 1])) --end;
  const absl::string_view word = cell.substr(begin, end - begin);
  for (const Letter& letter : kLetters) {
    if (word == letter.theirs && begin > 0 && end < cell.size()) {
      return absl::StrCat(cell.substr(0, begin), letter.ours, cell.substr(end));
    }
  }
  const std::string shown = absl::CHexEscape(cell.substr(0, 40));
  for (const char* lowered : {"SEND", "RECV", "SHARD", "REDUCE", "OVERLAP"}) {
    if (absl::StrContains(word, lowered)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", shown, "\" belongs to a lowered schedule; save the compute-only one (F, I, W, B): transfers ",
          "and sharding are added by lowering"));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("action \"", shown,
                                                 "\": want stage, kind (F, I, W, or B for the full backward), "
                                                 "micro-batch, as in 2F0"));
}

}  // namespace

absl::StatusOr<Schedule> ParsePytorchCsv(absl::string_view text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n')) {
    std::vector<std::string> cells;
    for (absl::string_view cell : absl::StrSplit(line, ',')) {
      cell = absl::StripAsciiWhitespace(cell);
      absl::StatusOr<std::string> ours = cell.empty() ? "" : Translated(cell);
      if (!ours.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("schedule: line ", lines.size() + 1, " (rank ", lines.size(),
                                                       "), cell ", cells.size() + 1, ": ", ours.status().message()));
      }
      cells.push_back(*std::move(ours));
    }
    lines.push_back(absl::StrJoin(cells, ","));
  }
  return Schedule::ParseCsv(absl::StrJoin(lines, "\n"));
}

absl::StatusOr<std::string> ToPytorchCsv(const Schedule& schedule) {
  std::string csv;
  for (const std::vector<Action>& list : schedule.ranks) {
    std::vector<std::string> cells;
    for (const Action& action : list) {
      for (const Letter& letter : kLetters) {
        if (action.phase == letter.phase) {
          cells.push_back(absl::StrCat(action.stage, letter.theirs, action.micro_batch));
        }
      }
      if (action.phase == proto::R) {
        return absl::InvalidArgumentError(
            absl::StrCat("schedule: ", action.ToString(), ": PyTorch's dialect has no recompute action; write ours"));
      }
    }
    absl::StrAppend(&csv, absl::StrJoin(cells, ","), "\n");
  }
  return csv;
}

}  // namespace millrace
