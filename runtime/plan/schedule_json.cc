#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/plan/schedule_picture.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json ListOf(const std::vector<TimedAction>& actions) {
  Json list = Json::array();
  for (const TimedAction& timed : actions) list.push_back({timed.action.ToString(), timed.start, timed.end});
  return list;
}

Json ListOf(const std::vector<CriticalStep>& path) {
  Json list = Json::array();
  for (const CriticalStep& step : path) {
    const std::string name = step.transfer ? TimedTransfer{step.action}.Name() : step.action.ToString();
    list.push_back({name, step.start, step.end});
  }
  return list;
}

Json ListOf(const std::vector<ScheduleIdle>& ranks) {
  Json list = Json::array();
  for (const ScheduleIdle& idle : ranks) {
    list.push_back({{"before_first", idle.before_first},
                    {"data", idle.data},
                    {"link", idle.link},
                    {"slot", idle.slot},
                    {"after_last", idle.after_last}});
  }
  return list;
}

Json ListOf(const std::vector<TimedTransfer>& transfers) {
  Json list = Json::array();
  for (const TimedTransfer& t : transfers) {
    list.push_back({t.Name(), t.from, t.to, t.made, t.admitted, t.begun, t.left, t.arrived});
  }
  return list;
}

}  // namespace

std::string ScheduleJson(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title) {
  Json json;
  json["schedule"] = std::string(title);
  json["valid"] = true;
  json["ranks"] = schedule.ranks.size();
  json["stages"] = schedule.stages;
  json["micro_batches"] = schedule.micro_batches;
  json["rank_of_stage"] = schedule.rank_of_stage;
  json["makespan"] = simulation.makespan;
  json["longest_span"] = simulation.longest_span;
  json["bubble_rate"] = simulation.bubble_rate;
  json["bubble_over_ideal"] = simulation.bubble_over_ideal;
  json["conventions"] = {{"bubble_rate", "1 - mean busy time / longest span (GPipe, Zero Bubble)"},
                         {"bubble_over_ideal", "(longest span - busiest rank's work) / that work (Megatron-LM)"}};
  json["peak_in_flight"] = simulation.peak_in_flight;
  json["peak_memory"] = simulation.peak_memory;
  json["busy"] = simulation.busy;
  json["idle"] = ListOf(simulation.idle);
  json["critical_path"] = ListOf(simulation.critical_path);
  json["memory"] = simulation.memory;
  json["transfers"] = ListOf(simulation.transfers);
  json["actions"] = Json::array();
  for (const auto& list : simulation.ranks) json["actions"].push_back(ListOf(list));
  // A member a line: short to read, and still short in bytes.
  std::string text = "{";
  for (const auto& [key, value] : json.items()) {
    absl::StrAppend(&text, text.size() > 1 ? ",\n " : "\n ", Json(key).dump(), ": ",
                    value.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  return text + "\n}\n";
}

}  // namespace millrace
