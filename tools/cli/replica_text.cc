#include "tools/cli/replica_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kRunnersUp = 5;

std::string PiecesText(const ReplicatedStageFigures& stage) {
  if (stage.pieces == 1) return absl::CHexEscape(stage.first);
  return absl::StrCat(absl::CHexEscape(stage.first), " .. ", absl::CHexEscape(stage.last));
}

double Total(const PhaseSeconds& s) { return s.forward + s.backward_input + s.backward_weight; }

// What fills each stage.
std::string StagesText(const ReplicatedPipeline& pipeline, const ReplicatedStep& step) {
  std::string text = "  stage  replicas  a micro-batch  of each   busy  parameters     memory  reduction  pieces\n";
  for (size_t s = 0; s < step.stages.size(); ++s) {
    const ReplicatedStageFigures& stage = step.stages[s];
    const int64_t replicas = pipeline.stages[s].replicas;
    const double seconds = Total(stage.seconds);
    absl::StrAppendFormat(&text, "  %5d  %8d  %13s %8s %5.1f%% %9.3g M %10s %10s  %s\n", s, replicas,
                          SecondsText(seconds), SecondsText(seconds / static_cast<double>(replicas)), 100 * stage.busy,
                          stage.parameters / 1e6, BytesText(stage.memory_bytes),
                          replicas > 1 ? SecondsText(stage.reduction) : "-", PiecesText(stage));
  }
  return text;
}

Json ToJson(const ReplicaCandidate& candidate) {
  const ReplicatedPipeline& pipeline = candidate.pipeline;
  const StepSeconds& s = candidate.step.seconds;
  Json json = {{"tensor_parallel", pipeline.tensor_parallel},
               {"pipeline", pipeline.stages.size()},
               {"replicas_of_stage", Json::array()},
               {"micro_batch", pipeline.micro_batch},
               {"micro_batches", pipeline.micro_batches},
               {"schedule", "1f1b"},
               {"recompute", NameOf(pipeline.recompute)},
               {"sharding", pipeline.sharding},
               {"simulated", true},
               {"seconds", s.step},
               {"compute_seconds", s.compute},
               {"tensor_parallel_seconds", s.tensor_parallel},
               {"bubble_seconds", s.bubble},
               {"reduction_seconds", s.reduction},
               {"optimizer_seconds", s.optimizer},
               {"memory_bytes", candidate.step.memory_bytes},
               {"stages", Json::array()}};
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    const ReplicatedStageFigures& stage = candidate.step.stages[i];
    json["replicas_of_stage"].push_back(pipeline.stages[i].replicas);
    json["stages"].push_back({{"replicas", pipeline.stages[i].replicas},
                              {"pieces", stage.pieces},
                              {"first", stage.first},
                              {"last", stage.last},
                              {"seconds_of_micro_batch", Total(stage.seconds)},
                              {"busy", stage.busy},
                              {"parameters", stage.parameters},
                              {"memory_bytes", stage.memory_bytes},
                              {"reduction_seconds", stage.reduction}});
  }
  if (!candidate.lost.empty()) json["lost"] = candidate.lost;
  return json;
}

}  // namespace

std::string ReplicaText(const std::string& heading, const ReplicaAnswer& answer, const PaperMachine& machine) {
  const ReplicaCandidate& best = answer.ranked[0];
  const StepSeconds& s = best.step.seconds;
  std::string text = absl::StrFormat(
      "%s\n  %s\n  step %s, %.2f samples/s, bubble rate %.1f %%\n", heading, best.pipeline.ToString(),
      SecondsText(s.step), static_cast<double>(best.pipeline.micro_batch * best.pipeline.micro_batches) / s.step,
      100 * best.step.bubble_rate);
  absl::StrAppendFormat(
      &text, "  of it compute %s, all-reduces of tensor parallelism %s, bubble %s, reduction %s, optimizer %s\n",
      SecondsText(s.compute), SecondsText(s.tensor_parallel), SecondsText(s.bubble), SecondsText(s.reduction),
      SecondsText(s.optimizer));
  absl::StrAppend(&text, "  memory ", BytesText(best.step.memory_bytes), " on the fullest device",
                  machine.device.memory_bytes > 0 ? " of " + BytesText(machine.device.memory_bytes) : "", "\n",
                  StagesText(best.pipeline, best.step));
  if (answer.ranked.size() > 1) absl::StrAppend(&text, "Other numbers of replicas:\n");
  for (size_t i = 1; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    const ReplicaCandidate& other = answer.ranked[i];
    absl::StrAppendFormat(&text, "  %10s  %s\n              %s\n", SecondsText(other.step.seconds.step),
                          other.pipeline.ToString(), other.lost);
  }
  absl::StrAppend(&text, "Of pipelines with replicas of each stage's own number ", answer.played, " were played. ",
                  answer.proven ? "None that was left out is faster in this model.\n"
                                : "Not all that could be faster: it is not proven.\n");
  return text;
}

Json ToJson(const ReplicaAnswer& answer) {
  Json json = {{"played", answer.played}, {"proven", answer.proven}, {"runs_in_this_build", false}};
  if (answer.ranked.empty()) return json;
  json["answer"] = ToJson(answer.ranked[0]);
  json["runners_up"] = Json::array();
  for (size_t i = 1; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    json["runners_up"].push_back(ToJson(answer.ranked[i]));
  }
  return json;
}

}  // namespace millrace
