#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tools/report/columns.h"
#include "tools/report/escape.h"
#include "tools/report/forms.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

// What takes less of the step is in the other forms only: a terminal has 100 columns.
constexpr double kLeast = 1e-2;
constexpr size_t kColumns = 100;

// Right-aligned columns, as wide as what is in them.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void Row(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string Print() const {
    std::vector<size_t> width(rows_[0].size(), 0);
    for (const auto& row : rows_) {
      for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      std::string line;
      for (size_t c = 0; c < row.size(); ++c) absl::StrAppendFormat(&line, "%s%*s", c ? "  " : "  ", width[c], row[c]);
      absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Summary(const Report& report) {
  const Balance& b = report.balance;
  std::string text =
      absl::StrFormat("%s, step %d: %s measured, %s predicted (%s)\n", TerminalText(report.plan.model_name(), 40),
                      report.measured.step(), SecondsText(b.measured_seconds), SecondsText(b.predicted_seconds),
                      PerCentOver(b.measured_seconds, b.predicted_seconds));
  absl::StrAppendFormat(
      &text, "bubble %.1f %% (predicted %.1f %%); imbalance %.1f %% (predicted %.1f %%): rank %d is busiest\n",
      100 * b.measured_bubble, 100 * b.predicted_bubble, 100 * b.measured_imbalance, 100 * b.predicted_imbalance,
      b.busiest_rank);
  return absl::StrCat(text, "limited by ",
                      absl::StrReplaceAll(LimitText(report.measured_cap.parts()), {{"; ", ";\n  "}}), "\n");
}

std::string WorkTable(const Balance& balance, double least) {
  std::vector<std::string> head = {"stage", "rank"};
  const std::vector<Work> works = WorksShown(balance, least);
  for (Work work : works) head.push_back(std::string(WorkName(work)));
  head.insert(head.end(), {"link bare", "hidden"});
  Table table(head);
  for (size_t s = 0; s < balance.measured.stages.size(); ++s) {
    const StageTime &m = balance.measured.stages[s], &p = balance.predicted.stages[s];
    std::vector<std::string> row = {absl::StrCat(s), absl::StrCat(m.rank)};
    for (Work work : works) row.push_back(Both(m.Of(work), p.Of(work)));
    row.push_back(Both(m.Of(Wait::kLink), p.Of(Wait::kLink)));
    row.push_back(Both(m.hidden, p.hidden));
    table.Row(std::move(row));
  }
  return table.Print();
}

// Where numbers are long, fewer kinds of work have room.
std::string WorkTable(const Balance& balance) {
  for (double least = kLeast;; least *= 2) {
    std::string text = WorkTable(balance, least);
    size_t longest = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n')) longest = std::max(longest, line.size());
    if (longest <= kColumns || least > 1) return text;
  }
}

std::string WaitTable(const Balance& balance) {
  const std::vector<Wait> waits = WaitsShown(balance, kLeast);
  std::vector<std::string> head = {"rank", "stages", "work"};
  for (Wait wait : waits) head.push_back(std::string(WaitName(wait)));
  head.push_back("of data, waited for");
  Table table(head);
  for (const RankBalance& row : balance.ranks) {
    const RankTime& m = balance.measured.ranks[row.rank];
    std::vector<std::string> cells = {absl::StrCat(row.rank), StagesText(row.stages), Ms(m.AllWork())};
    for (Wait wait : waits) cells.push_back(Ms(m.Of(wait)));
    std::vector<std::string> from;
    for (const auto& [peer, seconds] : m.data_from) {
      if (from.size() < 2) from.push_back(absl::StrCat("rank ", peer, " ", Ms(seconds)));
    }
    cells.push_back(absl::StrJoin(from, ", "));
    table.Row(std::move(cells));
  }
  return table.Print();
}

std::string MemoryTable(const Balance& balance) {
  std::vector<std::string> head = {"rank"};
  for (const MemoryPart& part : MemoryParts({})) head.push_back(part.name);
  head.insert(head.end(), {"arena", "limit"});
  Table table(head);
  for (const RankBalance& row : balance.ranks) {
    std::vector<std::string> cells = {absl::StrCat(row.rank)};
    for (const MemoryPart& part : MemoryParts(row.memory))
      cells.push_back(part.bytes == 0 ? "-" : BytesText(part.bytes));
    cells.push_back(BytesText(row.memory.arena));
    cells.push_back(row.memory.limit == 0 ? "none" : BytesText(row.memory.limit));
    table.Row(std::move(cells));
  }
  return table.Print();
}

std::string WorstTable(const Balance& balance) {
  Table table(
      {"rank", "instruction", "measured", "predicted", "difference", "", "by ratio", "measured", "predicted", "ratio"});
  for (size_t i = 0; i < std::max(balance.worst_by_difference.size(), balance.worst_by_ratio.size()); ++i) {
    std::vector<std::string> cells(5);
    if (i < balance.worst_by_difference.size()) {
      const InstructionTimes& t = balance.worst_by_difference[i];
      cells = {absl::StrCat(t.rank), t.name, Ms(t.measured), Ms(t.predicted),
               absl::StrCat(t.difference() > 0 ? "+" : "", Ms(t.difference()))};
    }
    cells.push_back(" ");
    if (i < balance.worst_by_ratio.size()) {
      const InstructionTimes& t = balance.worst_by_ratio[i];
      cells.insert(cells.end(), {t.name, Ms(t.measured), Ms(t.predicted), absl::StrFormat("%.2f", t.ratio())});
    }
    table.Row(std::move(cells));
  }
  return table.Print();
}

std::string BetterCut(const Report& report) {
  if (!report.recut.ok()) {
    return absl::StrCat("  not looked for: ", TerminalText(std::string(report.recut.status().message()), 400), "\n");
  }
  const Recut& recut = *report.recut;
  const std::string tried =
      absl::StrCat(recut.all_tried ? "all " : "", recut.tried, " cuts ", recut.all_tried ? "there are" : "tried");
  if (!recut.improves) {
    return absl::StrFormat("  the present cut is the best of %s, within half a per cent (step %s)\n", tried,
                           SecondsText(recut.present.seconds));
  }
  std::string text =
      absl::StrFormat("  of %s, the best takes %s a step instead of %s (both predicted): %.1f %% less. Its plan:\n",
                      tried, SecondsText(recut.best.seconds), SecondsText(recut.present.seconds), 100 * recut.gain());
  if (recut.command.empty()) {
    return absl::StrCat(text, "  stages end after ", TerminalText(absl::StrJoin(recut.best_after, ", "), 2000),
                        "\n  no command: ", TerminalText(recut.remark, 300), "\n");
  }
  absl::StrAppend(&text, recut.command, "\n");
  return recut.remark.empty() ? text : absl::StrCat(text, "  ", TerminalText(recut.remark, 300), "\n");
}

}  // namespace

std::string ReportText(const Report& report, const DrawOptions& draw) {
  const Balance& balance = report.balance;
  std::string text = Summary(report);
  absl::StrAppend(&text, "\nTime of a step by stage in ms: measured (predicted)\n", WorkTable(balance));
  absl::StrAppend(&text, "\nWhere each rank's ", Ms(balance.measured_seconds),
                  " ms went, measured: work, and waiting by cause\n", WaitTable(balance));
  for (Wait wait : WaitsShown(balance, kLeast))
    absl::StrAppendFormat(&text, "  %-4s  %s\n", WaitName(wait), WaitMeaning(wait));
  absl::StrAppend(&text, "\nMemory of each rank\n", MemoryTable(balance));
  absl::StrAppend(&text, "\nWorst foreseen instructions in ms: by difference, and by ratio\n", WorstTable(balance));
  absl::StrAppend(&text, "\nBetter cut, from the measured costs\n", BetterCut(report));
  absl::StrAppend(&text, "\n", ScheduleCapText(report.measured_cap, report.train().schedule()));
  absl::StrAppend(&text, "\npredicted\n", DrawTimeline(report.plan, report.predicted, draw), "\nmeasured\n",
                  DrawTimeline(report.plan, report.measured, draw));
  return text;
}

}  // namespace millrace
