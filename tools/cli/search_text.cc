#include "tools/cli/search_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/search/links.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kRunnersUp = 8, kOfOneShape = 2;

double BatchOf(const Configuration& c) { return static_cast<double>(c.replicas * c.micro_batch * c.micro_batches); }

double Utilisation(const Candidate& candidate, const SearchQuestion& q) {
  const double peak = q.machine.device.peak_flops * static_cast<double>(q.machine.devices);
  return ModelFlops(q.model, BatchOf(candidate.configuration)) / (peak * candidate.seconds());
}

// At most two of one (t, d), so that the list shows other ways too.
std::vector<const Candidate*> RunnersUp(const SearchAnswer& answer) {
  std::vector<const Candidate*> shown;
  for (size_t i = 1; i < answer.ranked.size() && shown.size() < kRunnersUp; ++i) {
    const Configuration& own = answer.ranked[i].configuration;
    size_t like_it = 0;
    for (size_t j = 0; j < i; ++j) {
      const Configuration& other = answer.ranked[j].configuration;
      like_it += own.tensor_parallel == other.tensor_parallel && own.replicas == other.replicas;
    }
    if (like_it < kOfOneShape) shown.push_back(&answer.ranked[i]);
  }
  return shown;
}

std::string OnPaperOnly(const Configuration& c) {
  if (c.tensor_parallel > 1) {
    return "on paper: this build's runtime has no tensor parallelism (t 1)";
  }
  return "on paper: modelled, not measured";
}

}  // namespace

std::string PaperText(const SearchQuestion& q, const SearchAnswer& answer) {
  const Candidate& best = answer.ranked[0];
  const SimulatedStep& step = *best.simulated;
  const StepSeconds& s = step.seconds;
  std::string text = absl::StrFormat(
      "Answer, verified and simulated (%s):\n  %s\n  step %s, %.2f sequences/s, MFU %.1f %%, bubble rate %.1f %%\n",
      OnPaperOnly(best.configuration), best.configuration.ToString(), SecondsText(s.step),
      BatchOf(best.configuration) / s.step, 100 * Utilisation(best, q), 100 * step.bubble_rate);
  absl::StrAppendFormat(
      &text,
      "  of it compute %s, all-reduces of tensor parallelism %s, bubble %s, reduction over replicas %s, "
      "optimizer %s\n",
      SecondsText(s.compute), SecondsText(s.tensor_parallel), SecondsText(s.bubble), SecondsText(s.reduction),
      SecondsText(s.optimizer));
  absl::StrAppend(&text, "  memory ", BytesText(step.memory_bytes), " on the fullest device",
                  q.machine.device.memory_bytes > 0 ? " of " + BytesText(q.machine.device.memory_bytes) : "", ", ",
                  BytesText(best.estimate.state_bytes),
                  " of it parameters, gradients and optimizer\n  links: ", LinksText(best.configuration, q.machine),
                  "\n");
  absl::StrAppend(&text, "Runners-up:\n");
  for (const Candidate* candidate : RunnersUp(answer)) {
    absl::StrAppendFormat(&text, "  %10s  %s\n              %s\n", SecondsText(candidate->seconds()),
                          candidate->configuration.ToString(), candidate->lost);
  }
  if (!answer.too_large.empty()) absl::StrAppend(&text, "Faster, but too large (estimates):\n");
  for (const Candidate& candidate : answer.too_large) {
    absl::StrAppendFormat(&text, "  %10s  %s\n              %s\n", SecondsText(candidate.seconds()),
                          candidate.configuration.ToString(), candidate.lost);
  }
  absl::StrAppend(&text, "Of ", answer.shapes, " shapes ", answer.shapes_pruned, " are beyond the bound; of ",
                  answer.estimated, " configurations ", answer.over_memory, " do not fit, ", answer.ranked.size(),
                  " were simulated. ",
                  answer.proven ? "Nothing left out is faster in this model.\n"
                                : "Some of those left out have a bound below the answer: it is not proven.\n");
  return text;
}

namespace {

Json ToJson(const Candidate& candidate) {
  const Configuration& c = candidate.configuration;
  const StepSeconds& s = candidate.simulated.has_value() ? candidate.simulated->seconds : candidate.estimate.seconds;
  Json json = {{"tensor_parallel", c.tensor_parallel},
               {"pipeline", c.pipeline},
               {"replicas", c.replicas},
               {"micro_batch", c.micro_batch},
               {"micro_batches", c.micro_batches},
               {"schedule", NameOf(c.schedule)},
               {"chunks", c.chunks},
               {"recompute", NameOf(c.recompute)},
               {"sharding", c.sharding},
               {"sequence_parallel", c.sequence_parallel},
               {"placement", c.placement == Placement::kReplicasTogether ? "replicas together" : "stages together"},
               {"simulated", candidate.simulated.has_value()},
               {"seconds", s.step},
               {"compute_seconds", s.compute},
               {"tensor_parallel_seconds", s.tensor_parallel},
               {"bubble_seconds", s.bubble},
               {"reduction_seconds", s.reduction},
               {"optimizer_seconds", s.optimizer},
               {"memory_bytes",
                candidate.simulated.has_value() ? candidate.simulated->memory_bytes : candidate.estimate.memory_bytes}};
  if (!candidate.lost.empty()) json["lost"] = candidate.lost;
  return json;
}

}  // namespace

Json ToJson(const SearchQuestion& q, const SearchAnswer& answer) {
  Json json = {{"answer", ToJson(answer.ranked[0])},
               {"mfu", Utilisation(answer.ranked[0], q)},
               {"links", LinksText(answer.ranked[0].configuration, q.machine)},
               {"runs_in_this_build", false},
               {"runners_up", Json::array()},
               {"too_large", Json::array()},
               {"shapes", answer.shapes},
               {"shapes_pruned", answer.shapes_pruned},
               {"estimated", answer.estimated},
               {"over_memory", answer.over_memory},
               {"proven", answer.proven}};
  for (const Candidate* candidate : RunnersUp(answer)) json["runners_up"].push_back(ToJson(*candidate));
  for (const Candidate& candidate : answer.too_large) json["too_large"].push_back(ToJson(candidate));
  return json;
}

namespace {

std::string Line(const PlanCandidate& candidate) {
  return absl::StrFormat("  %10s  %s, largest arena %s%s\n", SecondsText(candidate.seconds), candidate.ToString(),
                         BytesText(static_cast<double>(candidate.largest_arena)),
                         candidate.lost.empty() ? "" : "\n              " + candidate.lost);
}

}  // namespace

std::string PlansText(const PlanSearchAnswer& answer) {
  std::string text = "Best plan that this build can run (t 1), lowered, verified and simulated:\n";
  for (size_t i = 0; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    if (i == 1) absl::StrAppend(&text, "Runners-up:\n");
    absl::StrAppend(&text, Line(answer.ranked[i]));
  }
  if (!answer.refused.empty()) {
    absl::StrAppend(&text, answer.refused.size(), " could not be planned, the first: ", answer.refused[0].ToString(),
                    ": ", answer.refused[0].lost, "\n");
  }
  return text;
}

namespace {

Json ToJson(const PlanCandidate& candidate) {
  Json json = {{"pp", candidate.pp},
               {"replicas", candidate.replicas},
               {"shard_optimizer", candidate.shard_optimizer},
               {"micro_batch", candidate.micro_batch},
               {"micro_batches", candidate.micro_batches},
               {"schedule", candidate.schedule},
               {"recompute", candidate.recompute},
               {"seconds", candidate.seconds},
               {"largest_arena_bytes", candidate.largest_arena}};
  if (!candidate.lost.empty()) json["lost"] = candidate.lost;
  return json;
}

}  // namespace

Json ToJson(const PlanSearchAnswer& answer) {
  Json json = {{"answer", ToJson(answer.ranked[0])}, {"runners_up", Json::array()}};
  for (size_t i = 1; i < answer.ranked.size() && i <= kRunnersUp; ++i) {
    json["runners_up"].push_back(ToJson(answer.ranked[i]));
  }
  return json;
}

}  // namespace millrace
