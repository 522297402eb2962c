#include "runtime/job/results.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/plan/plan.h"

namespace millrace {
namespace {

nlohmann::ordered_json NumberOrNull(double number) {
  return std::isfinite(number) ? nlohmann::ordered_json(number) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::string ResultsJson(const RunResults& results, const proto::ExecutionPlan& plan) {
  nlohmann::ordered_json json;
  json["model"] = plan.model_name();
  json["plan"] = plan.hash();
  json["stages"] = plan.pp();
  json["ranks"] = plan.ranks_size();
  json["threads_per_rank"] = results.threads_per_rank;
  json["device"] = results.device;
  json["data"] = results.data;
  json["steps"] = results.steps;
  json["optimizer_steps"] = results.optimizer_steps;
  json["samples"] = results.samples;
  json["tokens"] = results.tokens;
  json["final_loss"] = NumberOrNull(results.final_loss);
  json["held_out_before"] = NumberOrNull(results.held_out_before);
  json["held_out_after"] = NumberOrNull(results.held_out_after);
  json["seconds_per_step"] = NumberOrNull(results.seconds_per_step);
  json["tokens_per_second"] = NumberOrNull(results.tokens_per_second);
  const proto::Program* train = FindProgram(plan, "train");
  json["predicted_seconds_per_step"] = train == nullptr ? nullptr : NumberOrNull(train->predicted_seconds());
  json["bubble"] = NumberOrNull(results.bubble);
  json["mfu"] = results.mfu > 0 ? NumberOrNull(results.mfu) : nlohmann::ordered_json(nullptr);
  json["weights_sha256"] = results.weights_sha256;
  json["sample"] = results.sample;
  // A sample may hold any bytes; JSON is UTF-8.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace millrace
