#include <nlohmann/json.hpp>

#include "absl/strings/str_replace.h"
#include "runtime/plan/action.h"
#include "tools/report/columns.h"
#include "tools/report/forms.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

std::string Key(absl::string_view name) { return absl::StrReplaceAll(name, {{" ", "_"}}) + "_seconds"; }

Json PartsJson(const TimeParts& parts) {
  Json out;
  for (int w = 0; w < kWorks; ++w) out["work"][Key(WorkName(static_cast<Work>(w)))] = parts.work[w];
  for (int w = 0; w < kWaits; ++w) out["wait"][Key(WaitName(static_cast<Wait>(w)))] = parts.wait[w];
  out["communication_exposed_seconds"] = parts.exposed;
  out["communication_hidden_seconds"] = parts.hidden;
  return out;
}

// The figures of runtime/plan/simulate.h, and where the time went.
Json RankJson(const SimulatedRank& r, const RankTime& time) {
  Json out = PartsJson(time);
  for (const auto& [peer, seconds] : time.data_from) out["data_from"][std::to_string(peer)] = seconds;
  out["forward_seconds"] = r.forward_seconds;
  out["backward_seconds"] = r.backward_seconds;
  out["weight_seconds"] = r.weight_seconds;
  out["communication_seconds"] = r.communication_seconds;
  out["idle_seconds"] = r.idle_seconds;
  out["busy_seconds"] = r.busy_seconds;
  return out;
}

Json MemoryJson(const MemoryByKind& memory) {
  Json out;
  for (const MemoryPart& part : MemoryParts(memory)) out[part.name] = part.bytes;
  out["arena"] = memory.arena;
  out["outside"] = memory.outside;
  out["limit"] = memory.limit;
  return out;
}

Json StepJson(const ScheduleCap& cap) {
  const StepParts parts = cap.parts();
  return {{"work_seconds", parts.work},
          {"imbalance_seconds", parts.imbalance},
          {"bubble_seconds", parts.bubble},
          {"end_seconds", parts.end},
          {"transfers_and_waiting_seconds", parts.transfers}};
}

Json WorstJson(const std::vector<InstructionTimes>& worst) {
  Json out = Json::array();
  for (const InstructionTimes& t : worst) {
    out.push_back({{"rank", t.rank},
                   {"instruction", t.instruction},
                   {"name", t.name},
                   {"predicted_seconds", t.predicted},
                   {"measured_seconds", t.measured}});
  }
  return out;
}

Json CutJson(const std::vector<std::string>& after, const CutFigures& figures) {
  return {{"cut_after", after},
          {"predicted_seconds", figures.seconds},
          {"bubble", figures.bubble},
          {"slowest_stage_seconds", figures.slowest_stage},
          {"largest_arena_bytes", figures.largest_arena},
          {"crossing_bytes", figures.crossing}};
}

Json RecutJson(const absl::StatusOr<Recut>& recut) {
  if (!recut.ok()) return {{"not_looked_for", std::string(recut.status().message())}};
  Json out = {{"improves", recut->improves},
              {"gain", recut->gain()},
              {"tried", recut->tried},
              {"all_tried", recut->all_tried},
              {"present", CutJson(recut->present_after, recut->present)},
              {"best", CutJson(recut->best_after, recut->best)}};
  if (!recut->command.empty()) out["command"] = recut->command;
  if (!recut->remark.empty()) out["remark"] = recut->remark;
  return out;
}

}  // namespace

std::string ReportJson(const Report& report) {
  const Balance& balance = report.balance;
  const ScheduleCap& cap = report.measured_cap;
  Json out;
  out["model"] = report.plan.model_name();
  out["plan"] = report.plan.hash();
  out["step"] = report.measured.step();
  out["schedule"] = report.train().schedule();
  out["schedule_cap_seconds"] = cap.cap;
  out["schedule_cap_reached"] = cap.cap_share();
  out["step_end_seconds"] = cap.with_end - cap.cap;
  out["predicted_seconds"] = balance.predicted_seconds;
  out["measured_seconds"] = balance.measured_seconds;
  out["predicted_bubble"] = balance.predicted_bubble;
  out["measured_bubble"] = balance.measured_bubble;
  out["predicted_imbalance"] = balance.predicted_imbalance;
  out["measured_imbalance"] = balance.measured_imbalance;
  out["limited_by"] = LimitText(cap.parts());
  out["step_parts"] = {{"predicted", StepJson(report.predicted_cap)}, {"measured", StepJson(cap)}};
  for (size_t s = 0; s < balance.measured.stages.size(); ++s) {
    out["stages"].push_back({{"stage", s},
                             {"rank", balance.measured.stages[s].rank},
                             {"predicted", PartsJson(balance.predicted.stages[s])},
                             {"measured", PartsJson(balance.measured.stages[s])}});
  }
  for (const RankBalance& row : balance.ranks) {
    out["ranks"].push_back({{"rank", row.rank},
                            {"stages", row.stages},
                            {"predicted", RankJson(row.predicted, balance.predicted.ranks[row.rank])},
                            {"measured", RankJson(row.measured, balance.measured.ranks[row.rank])},
                            {"bytes", MemoryJson(row.memory)}});
  }
  out["worst_by_difference"] = WorstJson(balance.worst_by_difference);
  out["worst_by_ratio"] = WorstJson(balance.worst_by_ratio);
  out["better_cut"] = RecutJson(report.recut);
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace millrace
