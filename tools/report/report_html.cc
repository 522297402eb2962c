#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "runtime/plan/instruction_name.h"
#include "tools/report/columns.h"
#include "tools/report/escape.h"
#include "tools/report/forms.h"
#include "tools/report/page.h"
#include "tools/report/timeline_svg.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

constexpr int kMostRows = 1500;     // of the instruction table; the CSV has all
constexpr size_t kMostShown = 128;  // stages and ranks; JSON and CSV have all

std::string MoreNote(size_t all, const char* of) {
  if (all <= kMostShown) return "";
  return absl::StrCat("<p class=\"soft\">The first ", kMostShown, " ", of, " of ", all,
                      "; --json and --csv have all.</p>\n");
}

std::string Card(const std::string& figure, const std::string& what) {
  return absl::StrCat("<div class=\"card\"><b>", HtmlText(figure), "</b><span>", HtmlText(what), "</span></div>");
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

std::string Opening(const Report& report) {
  const Balance& b = report.balance;
  const proto::Program& train = report.train();
  std::string out = absl::StrCat(
      "<h1><bdi>", HtmlText(report.plan.model_name()), "</bdi>, step ", report.measured.step(),
      "</h1>\n<p class=\"soft\">", train.stages_size(), " stages on ", train.ranks_size(), " ranks, schedule <bdi>",
      HtmlText(train.schedule()), "</bdi>, ", train.micro_batches(), " micro-batches of ", train.micro_batch_size(),
      ", cut <bdi>", HtmlText(report.plan.cut()), "</bdi></p>\n<div class=\"cards\">");
  absl::StrAppend(&out, Card(SecondsText(b.measured_seconds), "measured step"));
  absl::StrAppend(&out,
                  Card(SecondsText(b.predicted_seconds),
                       absl::StrCat("predicted; measured ", PerCentOver(b.measured_seconds, b.predicted_seconds))));
  absl::StrAppend(&out,
                  Card(Percent(b.measured_bubble), absl::StrCat("bubble; predicted ", Percent(b.predicted_bubble))));
  absl::StrAppend(&out,
                  Card(Percent(b.measured_imbalance), absl::StrCat("imbalance; rank ", b.busiest_rank, " is busiest")));
  absl::StrAppend(&out, Card(Percent(report.measured_cap.cap_share()), "of the schedule's cap reached"));
  return absl::StrCat(out, "</div>\n<div class=\"key\"><b>Limited by</b> ",
                      HtmlText(LimitText(report.measured_cap.parts()), 400), "</div>\n");
}

std::vector<BarPart> StepBar(const StepParts& parts) {
  const auto part = [](const char* style, const char* name, double seconds) {
    return BarPart{style, absl::StrCat(name, " ", Ms(seconds), " ms"), seconds};
  };
  return {part("f", "work, mean of the ranks", parts.work), part("w", "imbalance", parts.imbalance),
          part("data", "bubble", parts.bubble), part("opt", "end of the step", parts.end),
          part("link", "transfers and waiting", parts.transfers)};
}

std::string StepSection(const Report& report) {
  const StepParts m = report.measured_cap.parts(), p = report.predicted_cap.parts();
  const double whole = std::max(m.step(), p.step());
  std::string out = "<h2>What a step is made of</h2>\n<div class=\"rows\">";
  for (const auto& [name, style, parts] : {std::tuple("measured", "", m), std::tuple("predicted", "thin", p)}) {
    absl::StrAppend(&out, "<span>", name, "</span>",
                    Bar(style, StepBar(parts), whole, absl::StrCat(name, ": ", SecondsText(parts.step()))),
                    "<span class=\"n\">", Ms(parts.step()), " ms</span>\n");
  }
  absl::StrAppend(&out, "</div>\n");
  HtmlTable table;
  table.head = {"", "measured ms", "predicted ms", "share of the step", "meaning"};
  table.last_left = true;
  const auto row = [&](const char* name, double measured, double predicted, const char* meaning) {
    table.rows.push_back({name, Ms(measured), Ms(predicted), Percent(m.step() > 0 ? measured / m.step() : 0), meaning});
  };
  row("work", m.work, p.work, "mean of the ranks' time in kernels");
  row("imbalance", m.imbalance, p.imbalance, "what the busiest rank does beyond the mean");
  row("bubble", m.bubble, p.bubble, "what the schedule adds to the busiest rank's work");
  row("end of the step", m.end, p.end, "reduce, norm, optimizer, gather, packing");
  row("the rest", m.transfers, p.transfers, "transfers that lie bare; measured: waiting for a core, too");
  return absl::StrCat(out, table.Print());
}

std::string CutSection(const Report& report) {
  std::string out = "<h2>Better cut</h2>\n";
  if (!report.recut.ok()) {
    return absl::StrCat(out, "<p class=\"soft\">Not looked for: <bdi>",
                        HtmlText(std::string(report.recut.status().message()), 600), "</bdi></p>\n");
  }
  const Recut& recut = *report.recut;
  const std::string tried = recut.all_tried ? absl::StrCat("all ", recut.tried, " cuts there are were tried")
                                            : absl::StrCat(recut.tried, " cuts were tried");
  if (recut.improves) {
    absl::StrAppend(&out, "<p>With the costs that were measured, another cut makes the step <b>",
                    absl::StrFormat("%.1f %%", 100 * recut.gain()), "</b> shorter: ", SecondsText(recut.best.seconds),
                    " instead of ", SecondsText(recut.present.seconds), " (both predicted from these costs; ", tried,
                    ").</p>\n");
  } else {
    absl::StrAppend(&out, "<p>The present cut is the best, within half a per cent (", tried, ").</p>\n");
  }
  HtmlTable table;
  table.head = {"",
                "step ms",
                "bubble",
                "slowest stage, ms a micro-batch",
                "crossing a micro-batch",
                "largest arena",
                "stages end after"};
  table.last_left = true;
  const auto row = [&](const char* name, const CutFigures& f, const std::vector<std::string>& after) {
    uint64_t crossing = 0;
    for (uint64_t bytes : f.crossing) crossing += bytes;
    table.rows.push_back({name, Ms(f.seconds), Percent(f.bubble), Ms(f.slowest_stage), BytesText(crossing),
                          BytesText(f.largest_arena), absl::StrJoin(after, ", ")});
  };
  row("present", recut.present, recut.present_after);
  if (recut.improves) row("better", recut.best, recut.best_after);
  absl::StrAppend(&out, table.Print());
  if (!recut.command.empty()) {
    const std::string command = HtmlText(recut.command, recut.command.size());
    absl::StrAppend(&out, "<p>The command that makes it:</p>\n<pre>", command, "</pre>\n");
    if (absl::StrContains(command, "\xEF\xBF\xBD")) {
      absl::StrAppend(&out,
                      "<p class=\"soft\">A name in it has characters that no page should show: take the command "
                      "from --json.</p>\n");
    }
  }
  if (!recut.remark.empty()) {
    absl::StrAppend(&out, "<p class=\"soft\">", recut.command.empty() ? "There is no command for it: " : "", "<bdi>",
                    HtmlText(recut.remark, 600), "</bdi></p>\n");
  }
  return out;
}

std::string InstructionTable(const Report& report) {
  HtmlTable table;
  table.caption = absl::StrCat("Compute instructions in ms; the first ", kMostRows, " at most (--csv has all)");
  table.head = {"rank", "instruction", "predicted start", "work", "measured start", "work"};
  std::map<std::pair<uint32_t, uint32_t>, const proto::Span*> predicted;
  for (const proto::Span& span : report.predicted.spans()) predicted[{span.rank(), span.instruction()}] = &span;
  const auto begins = [](const proto::Span& span) { return span.start_seconds() + span.wait_seconds(); };
  const auto plain = [](double seconds) { return absl::StrFormat("%.3f", 1e3 * seconds); };
  for (const proto::Span& span : report.measured.spans()) {
    const proto::Instruction& instruction = report.train().ranks(span.rank()).instructions(span.instruction());
    const auto p = predicted.find({span.rank(), span.instruction()});
    if (instruction.channel() != 0 || p == predicted.end()) continue;
    if (table.rows.size() >= kMostRows) break;
    table.rows.push_back({absl::StrCat(span.rank()), InstructionName(report.train(), instruction),
                          plain(begins(*p->second)), plain(p->second->end_seconds() - begins(*p->second)),
                          plain(begins(span)), plain(span.end_seconds() - begins(span))});
  }
  return absl::StrCat("<details><summary>The same as a table</summary>", table.Print(), "</details>\n");
}

std::vector<BarPart> KindsLegend(const Balance& balance) {
  std::vector<BarPart> legend;
  for (Work work : WorksShown(balance)) legend.push_back({StyleOf(work), std::string(WorkName(work))});
  for (Wait wait : WaitsShown(balance)) legend.push_back({StyleOf(wait), absl::StrCat("waits: ", WaitName(wait))});
  return legend;
}

std::string TimelineSection(const Report& report) {
  const Balance& b = report.balance;
  const double stretch = PredictionStretch(b.predicted, b.measured);
  std::string out = absl::StrCat(
      "<h2>Timeline</h2>\n<p class=\"soft small\">For each rank the prediction (p) above what was "
      "measured (m); numbers are micro-batches.",
      stretch > 1 ? absl::StrFormat(" The prediction is drawn %.1f times wider.", stretch) : "", "</p>\n",
      Legend(KindsLegend(b)), "<div class=\"scroll\">", TimelineSvg(report.train(), b.predicted, &b.measured),
      "</div>\n");
  if (b.ranks.size() > 64) absl::StrAppend(&out, "<p class=\"soft\">Ranks 0 to 63 of ", b.ranks.size(), ".</p>\n");
  return absl::StrCat(out, InstructionTable(report));
}

std::vector<BarPart> WorkBar(const TimeParts& parts) {
  std::vector<BarPart> bar;
  for (int w = 0; w < kWorks; ++w) {
    const Work work = static_cast<Work>(w);
    bar.push_back({StyleOf(work), absl::StrCat(WorkName(work), " ", Ms(parts.Of(work)), " ms"), parts.Of(work)});
  }
  return bar;
}

std::string BalanceSection(const Balance& b) {
  double most = 0;
  for (const Attribution* step : {&b.measured, &b.predicted}) {
    for (const StageTime& stage : step->stages) most = std::max(most, stage.AllWork());
  }
  std::string out = absl::StrFormat(
      "<h2>Stages</h2>\n<p class=\"soft small\">Work of a step: measured, and below it predicted. Imbalance is "
      "(busiest rank's "
      "kernels - mean) / mean: %.1f %% measured, %.1f %% predicted.</p>\n<div class=\"rows\">",
      100 * b.measured_imbalance, 100 * b.predicted_imbalance);
  HtmlTable table;
  table.caption = "Milliseconds of a step: measured (predicted)";
  table.left = 0;
  table.head = {"stage", "rank"};
  const std::vector<Work> works = WorksShown(b);
  for (Work work : works) table.head.push_back(std::string(WorkName(work)));
  table.head.insert(table.head.end(), {"communication bare", "hidden"});
  for (size_t s = 0; s < std::min(kMostShown, b.measured.stages.size()); ++s) {
    const StageTime &m = b.measured.stages[s], &p = b.predicted.stages[s];
    const std::string label = absl::StrCat("stage ", s);
    absl::StrAppend(&out, "<span>", label, "</span>",
                    Bar("", WorkBar(m), most, absl::StrCat(label, " measured: ", Ms(m.AllWork()), " ms of work")),
                    "<span class=\"n\">", Ms(m.AllWork()), " ms</span>\n<span></span>",
                    Bar("thin", WorkBar(p), most, absl::StrCat(label, " predicted: ", Ms(p.AllWork()), " ms of work")),
                    "<span class=\"n soft small\">", Ms(p.AllWork()), " ms</span><span class=\"gap\"></span>\n");
    std::vector<std::string> row = {absl::StrCat(s), absl::StrCat(m.rank)};
    for (Work work : works) row.push_back(Both(m.Of(work), p.Of(work)));
    row.push_back(Both(m.exposed, p.exposed));
    row.push_back(Both(m.hidden, p.hidden));
    table.rows.push_back(std::move(row));
  }
  return absl::StrCat(out, "</div>\n", table.Print(), MoreNote(b.measured.stages.size(), "stages"));
}

std::string WaitSection(const Balance& b) {
  std::string out = "<h2>Where each rank's time went</h2>\n<div class=\"rows\">";
  HtmlTable table;
  table.caption = "Milliseconds of a step: measured (predicted); a row adds up to the step";
  table.left = 0;
  const std::vector<Wait> waits = WaitsShown(b);
  table.head = {"rank", "stages", "work"};
  for (Wait wait : waits) table.head.push_back(std::string(WaitName(wait)));
  table.head.push_back("data waited for, by rank");
  const double most = std::max(b.measured_seconds, b.predicted_seconds);
  for (const RankBalance& rank : absl::MakeConstSpan(b.ranks).subspan(0, kMostShown)) {
    const RankTime &m = b.measured.ranks[rank.rank], &p = b.predicted.ranks[rank.rank];
    for (const RankTime* time : {&m, &p}) {
      std::vector<BarPart> bar = WorkBar(*time);
      for (Wait wait : waits)
        bar.push_back(
            {StyleOf(wait), absl::StrCat("waits ", Ms(time->Of(wait)), " ms ", WaitMeaning(wait)), time->Of(wait)});
      const bool measured = time == &m;
      const std::string label = absl::StrCat("rank ", rank.rank);
      absl::StrAppend(
          &out, "<span>", measured ? label : "", "</span>",
          Bar(measured ? "" : "thin", bar, most, absl::StrCat(label, measured ? " measured" : " predicted")),
          "<span class=\"n", measured ? "" : " soft small", "\">",
          absl::StrFormat("%.0f %% work", time->AllWork() + time->AllWaiting() > 0
                                              ? 100 * time->AllWork() / (time->AllWork() + time->AllWaiting())
                                              : 0),
          "</span>\n");
    }
    absl::StrAppend(&out, "<span class=\"gap\"></span>\n");
    std::vector<std::string> row = {absl::StrCat(rank.rank), StagesText(rank.stages), Both(m.AllWork(), p.AllWork())};
    for (Wait wait : waits) row.push_back(Both(m.Of(wait), p.Of(wait)));
    std::vector<std::string> from;
    for (const auto& [peer, seconds] : m.data_from) from.push_back(absl::StrCat(peer, ": ", Ms(seconds)));
    row.push_back(absl::StrJoin(from, ", "));
    table.rows.push_back(std::move(row));
  }
  std::vector<BarPart> legend;
  for (Wait wait : waits) legend.push_back({StyleOf(wait), absl::StrCat(WaitName(wait), ": ", WaitMeaning(wait))});
  return absl::StrCat(out, "</div>\n", Legend(legend), table.Print(), MoreNote(b.ranks.size(), "ranks"));
}

std::string MemorySection(const Balance& b) {
  std::string out = "<h2>Memory</h2>\n<div class=\"rows\">";
  HtmlTable table;
  table.head = {"rank"};
  for (const MemoryPart& part : MemoryParts({})) table.head.push_back(part.name);
  table.head.insert(table.head.end(), {"arena", "beside it", "limit"});
  double most = 0;
  for (const RankBalance& rank : b.ranks) most = std::max<double>(most, std::max(rank.memory.arena, rank.memory.limit));
  std::vector<BarPart> legend;
  for (const RankBalance& rank : absl::MakeConstSpan(b.ranks).subspan(0, kMostShown)) {
    std::vector<BarPart> bar;
    std::vector<std::string> row = {absl::StrCat(rank.rank)};
    for (const MemoryPart& part : MemoryParts(rank.memory)) {
      bar.push_back({absl::StrCat("m", bar.size()), absl::StrCat(part.name, " ", BytesText(part.bytes)),
                     static_cast<double>(part.bytes)});
      if (legend.size() < MemoryParts({}).size()) legend.push_back({bar.back().style, part.name});
      row.push_back(part.bytes == 0 ? "-" : BytesText(part.bytes));
    }
    absl::StrAppend(&out, "<span>rank ", rank.rank, "</span>",
                    Bar("", bar, most, absl::StrCat("rank ", rank.rank, ": ", BytesText(rank.memory.arena))),
                    "<span class=\"n\">", BytesText(rank.memory.arena), "</span>\n");
    row.push_back(BytesText(rank.memory.arena));
    row.push_back(rank.memory.outside == 0 ? "-" : BytesText(rank.memory.outside));
    row.push_back(rank.memory.limit == 0 ? "none" : BytesText(rank.memory.limit));
    table.rows.push_back(std::move(row));
  }
  return absl::StrCat(out, "</div>\n", Legend(legend), table.Print(), MoreNote(b.ranks.size(), "ranks"));
}

std::string WorstTable(const std::string& caption, const std::vector<InstructionTimes>& worst) {
  HtmlTable table;
  table.caption = caption;
  table.head = {"instruction", "rank", "measured ms", "predicted ms", "difference ms", "ratio"};
  for (const InstructionTimes& t : worst) {
    table.rows.push_back({t.name, absl::StrCat(t.rank), Ms(t.measured), Ms(t.predicted),
                          absl::StrCat(t.difference() > 0 ? "+" : "", Ms(t.difference())),
                          t.predicted > 0 ? absl::StrFormat("%.2f", t.ratio()) : "-"});
  }
  return table.Print();
}

}  // namespace

std::string ReportHtml(const Report& report) {
  const Balance& b = report.balance;
  const std::string body = absl::StrCat(
      "<main>\n", Opening(report), StepSection(report), CutSection(report), TimelineSection(report), BalanceSection(b),
      WaitSection(b), MemorySection(b), "<h2>Instructions foreseen worst</h2>\n<div class=\"pair\">\n",
      WorstTable("By difference", b.worst_by_difference),
      WorstTable("By ratio, of what takes a thousandth of the step or more", b.worst_by_ratio),
      "</div>\n</main>\n<footer>Plan ", HtmlText(report.plan.hash()), ", made by <bdi>",
      HtmlText(report.plan.created_by()), "</bdi>. Waiting is attributed as docs/report.md says.</footer>\n");
  return Page(absl::StrCat(report.plan.model_name(), ", step ", report.measured.step(), " - stage balance"), body);
}

}  // namespace millrace
