#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "runtime/plan/plan.h"
#include "tools/report/escape.h"
#include "tools/report/explanation.h"
#include "tools/report/page.h"
#include "tools/report/timeline_svg.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

constexpr size_t kMostEdges = 400;
constexpr size_t kMostShown = 128;      // stages, boundaries and ranks; --json has all
constexpr size_t kMostNodeTables = 64;  // stages whose nodes are listed

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

template <typename T>
absl::Span<const T> First(const std::vector<T>& all, size_t most) {
  return absl::MakeConstSpan(all).subspan(0, most);
}

std::string Signed(double value, const std::string& size) {
  return value == 0 || size == "-" ? "0" : absl::StrCat(value < 0 ? "-" : "+", size);
}

std::string Opening(const proto::ExecutionPlan& plan, const proto::Program& train, const Explanation& e) {
  std::string out = absl::StrCat("<h1>Plan of <bdi>", HtmlText(plan.model_name()), "</bdi></h1>\n<p class=\"soft\">",
                                 train.stages_size(), " stages on ", train.ranks_size(), " ranks, schedule <bdi>",
                                 HtmlText(train.schedule()), "</bdi>, ", train.micro_batches(), " micro-batches of ",
                                 train.micro_batch_size(), ", cut <bdi>", HtmlText(plan.cut()),
                                 "</bdi>, optimizer <bdi>", HtmlText(plan.optimizer()), "</bdi>; costs ",
                                 plan.costs().measured() ? "measured" : "modelled", "</p>\n<div class=\"cards\">");
  const auto card = [&](const std::string& figure, const std::string& what) {
    absl::StrAppend(&out, "<div class=\"card\"><b>", HtmlText(figure), "</b><span>", HtmlText(what), "</span></div>");
  };
  card(SecondsText(train.predicted_seconds()), "predicted step");
  card(Percent(train.predicted_bubble()), "bubble");
  uint64_t arena = 0;
  int64_t parameters = 0;
  for (const StageFigures& stage : e.stages) arena = std::max(arena, stage.arena), parameters += stage.parameters;
  card(BytesText(arena), "largest arena");
  card(absl::StrFormat("%.3g M", 1e-6 * parameters), "parameters, tied ones on every stage");
  absl::StrAppend(&out, "</div>\n<div class=\"key\"><b>Limited by</b> ");
  for (size_t i = 0; i < e.limits.size(); ++i) absl::StrAppend(&out, i > 0 ? "<br>" : "", HtmlText(e.limits[i], 400));
  if (e.stages.size() > kMostNodeTables) {
    absl::StrAppend(&out, "<br>The first ", kMostNodeTables, " to ", kMostShown, " stages are shown; --json has all.");
  }
  return absl::StrCat(out, e.limits.empty() ? "nothing that can be told: the plan cannot be simulated" : "",
                      "</div>\n");
}

std::string StagesSection(const Explanation& e) {
  std::string out = "<h2>What fills each stage</h2>\n<div class=\"rows\">";
  double most = 0;
  for (const StageFigures& f : e.stages) most = std::max(most, f.seconds());
  HtmlTable table;
  table.head = {"stage", "rank", "nodes", "parameters", "forward ms", "backward ms", "weight ms", "in flight", "arena"};
  for (const StageFigures& f : First(e.stages, kMostShown)) {
    const std::vector<BarPart> bar = {{"f", absl::StrCat("forward ", Ms(f.forward), " ms"), f.forward},
                                      {"b", absl::StrCat("backward ", Ms(f.backward), " ms"), f.backward},
                                      {"w", absl::StrCat("weight ", Ms(f.weight), " ms"), f.weight},
                                      {"r", absl::StrCat("recompute ", Ms(f.recompute), " ms"), f.recompute}};
    absl::StrAppend(&out, "<span>stage ", f.stage, "</span>",
                    Bar("", bar, most, absl::StrCat("stage ", f.stage, ": ", Ms(f.seconds()), " ms a micro-batch")),
                    "<span class=\"n\">", Ms(f.seconds()), " ms</span>\n");
    table.rows.push_back({absl::StrCat(f.stage), absl::StrCat(f.rank), absl::StrCat(f.nodes),
                          absl::StrCat(f.parameters), Ms(f.forward), Ms(f.backward), Ms(f.weight),
                          absl::StrCat(f.peak_in_flight), BytesText(f.arena)});
  }
  absl::StrAppend(&out, "</div>\n", Legend({{"f", "forward"}, {"b", "backward"}, {"w", "weight"}, {"r", "recompute"}}),
                  table.Print());
  absl::StrAppend(&out, "<div class=\"pair\">");
  for (const StageFigures& f : First(e.stages, kMostNodeTables)) {
    for (const auto& [what, shares] :
         {std::pair("take longest", &f.largest), std::pair("hold most bytes", &f.heaviest)}) {
      HtmlTable nodes;
      nodes.caption = absl::StrCat("Nodes of stage ", f.stage, " that ", what);
      nodes.head = {"node", "ms a micro-batch", "share", "parameters", "kept"};
      for (const NodeShare& node : *shares) {
        nodes.rows.push_back({node.name, Ms(node.seconds), Percent(f.seconds() > 0 ? node.seconds / f.seconds() : 0),
                              node.parameter_bytes == 0 ? "-" : BytesText(node.parameter_bytes),
                              node.kept_bytes == 0 ? "-" : BytesText(node.kept_bytes)});
      }
      absl::StrAppend(&out, nodes.Print());
    }
  }
  return absl::StrCat(out, "</div>\n");
}

std::string BoundariesSection(const proto::Program& train, const Explanation& e) {
  std::string out = "<h2>What crosses each boundary, and what moving it would cost</h2>\n";
  if (e.boundaries.empty()) return absl::StrCat(out, "<p>There is one stage: nothing crosses.</p>\n");
  if (!e.moves.ok()) {
    absl::StrAppend(&out, "<p class=\"soft\">Boundaries were not moved: <bdi>",
                    HtmlText(std::string(e.moves.message()), 600), "</bdi></p>\n");
  }
  HtmlTable table;
  table.caption = "Of a micro-batch";
  table.head = {"stages", "ends after", "tensors", "forward", "back", "link ms"};
  table.left = 2;
  HtmlTable moves;
  moves.caption = "Moved by one unit (what fused kernels hold together), everything planned again with the same costs";
  moves.head = {"stages", "would end after", "step ms", "crossing", "largest arena"};
  moves.left = 2;
  for (const Boundary& b : First(e.boundaries, kMostShown)) {
    const std::string stages = absl::StrCat(b.stage, " to ", b.stage + 1);
    table.rows.push_back({stages, b.ends_after, absl::StrCat(b.edges.size()), BytesText(b.forward_bytes),
                          BytesText(b.backward_bytes), Ms(b.link_seconds)});
    for (const auto& [way, move] : {std::pair("earlier", &b.earlier), std::pair("later", &b.later)}) {
      const std::string where = absl::StrCat(stages, ", ", way);
      if (move->ends_after.empty()) {
        moves.rows.push_back({where, move->why_not});
        continue;
      }
      moves.rows.push_back({where, move->ends_after, Signed(move->step_change, Ms(std::abs(move->step_change))),
                            Signed(move->crossing_change, BytesText(std::abs(move->crossing_change))),
                            Signed(move->arena_change, BytesText(std::abs(move->arena_change)))});
    }
  }
  absl::StrAppend(&out, table.Print(), e.moves.ok() ? moves.Print() : "");
  HtmlTable edges;
  edges.head = {"tensor", "from stage", "to stage", "direction", "bytes"};
  for (const proto::Edge& edge : train.edges()) {
    if (edges.rows.size() == kMostEdges) break;
    edges.rows.push_back({edge.name(), absl::StrCat(edge.from_stage()), absl::StrCat(edge.to_stage()),
                          edge.backward() ? "gradient" : "value", BytesText(edge.bytes())});
  }
  return absl::StrCat(out, "<details><summary>The tensors</summary>", edges.Print(), "</details>\n");
}

std::string MemorySection(const Explanation& e) {
  const std::vector<std::string> kinds = {"weights", "gradients", "optimizer", "packed", "stash", "edges", "scratch"};
  HtmlTable table;
  table.head = {"rank"};
  table.head.insert(table.head.end(), kinds.begin(), kinds.end());
  table.head.push_back("arena");
  std::string out = "<h2>Memory</h2>\n<div class=\"rows\">";
  double most = 0;
  for (const StageFigures& f : e.stages) most = std::max<double>(most, f.arena);
  std::vector<int> done;
  const auto style = [](size_t k) { return absl::StrCat("m", std::min<size_t>(k, 5)); };
  for (const StageFigures& f : First(e.stages, kMostShown)) {
    if (std::find(done.begin(), done.end(), f.rank) != done.end()) continue;
    done.push_back(f.rank);
    std::vector<BarPart> bar;
    std::vector<std::string> row = {absl::StrCat(f.rank)};
    for (size_t k = 0; k < kinds.size(); ++k) {
      const auto found = f.bytes.find(kinds[k]);
      const uint64_t bytes = found == f.bytes.end() ? 0 : found->second;
      bar.push_back({style(k), absl::StrCat(kinds[k], " ", BytesText(bytes)), static_cast<double>(bytes)});
      row.push_back(bytes == 0 ? "-" : BytesText(bytes));
    }
    row.push_back(BytesText(f.arena));
    absl::StrAppend(&out, "<span>rank ", f.rank, "</span>", Bar("", bar, most, absl::StrCat("rank ", f.rank)),
                    "<span class=\"n\">", BytesText(f.arena), "</span>\n");
    table.rows.push_back(std::move(row));
  }
  std::vector<BarPart> legend;
  for (size_t k = 0; k < 5; ++k) legend.push_back({style(k), kinds[k]});
  legend.push_back({style(5), "edges and scratch"});
  return absl::StrCat(out, "</div>\n", Legend(legend), table.Print());
}

std::string TimelineSection(const proto::Program& train, const Explanation& e) {
  if (!e.times.ok()) {
    return absl::StrCat("<h2>Predicted step</h2>\n<p>", HtmlText(std::string(e.times.status().message()), 600),
                        "</p>\n");
  }
  std::vector<BarPart> legend;
  for (int w = 0; w < kWorks; ++w) {
    const Work work = static_cast<Work>(w);
    double all = 0;
    for (const RankTime& rank : e.times->ranks) all += rank.Of(work);
    if (all > 0) legend.push_back({StyleOf(work), std::string(WorkName(work))});
  }
  for (int w = 0; w < kWaits; ++w) {
    const Wait wait = static_cast<Wait>(w);
    double all = 0;
    for (const RankTime& rank : e.times->ranks) all += rank.Of(wait);
    if (all > 0) legend.push_back({StyleOf(wait), absl::StrCat("waits: ", WaitName(wait))});
  }
  HtmlTable table;
  table.caption = "Milliseconds of the step";
  table.left = 0;
  table.head = {"rank", "work"};
  for (int w = 0; w < kWaits; ++w) table.head.push_back(std::string(WaitName(static_cast<Wait>(w))));
  for (size_t r = 0; r < std::min(kMostShown, e.times->ranks.size()); ++r) {
    std::vector<std::string> row = {absl::StrCat(r), Ms(e.times->ranks[r].AllWork())};
    for (double seconds : e.times->ranks[r].wait) row.push_back(Ms(seconds));
    table.rows.push_back(std::move(row));
  }
  return absl::StrCat("<h2>Predicted step</h2>\n", Legend(legend), "<div class=\"scroll\">",
                      TimelineSvg(train, *e.times, nullptr), "</div>\n", table.Print());
}

}  // namespace

std::string ExplainHtml(const proto::ExecutionPlan& plan, const Explanation& explanation) {
  const proto::Program& train = *FindProgram(plan, "train");
  const std::string body = absl::StrCat("<main>\n", Opening(plan, train, explanation), StagesSection(explanation),
                                        BoundariesSection(train, explanation), TimelineSection(train, explanation),
                                        MemorySection(explanation), "</main>\n<footer>Plan ", HtmlText(plan.hash()),
                                        ", made by <bdi>", HtmlText(plan.created_by()), "</bdi>.</footer>\n");
  return Page(absl::StrCat("Plan of ", plan.model_name()), body);
}

}  // namespace millrace
