#include "partitioner/search/search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "partitioner/search/reasons.h"
#include "partitioner/search/space.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kSlack = 1.5;
constexpr double kMostSeconds = 1e100;  // of a step; sums of longer times overflow
constexpr int64_t kMostBatch = 1 << 24, kMostDevices = 1 << 16;
constexpr size_t kTooLarge = 3, kGroupsSimulated = 8;

absl::Status CheckQuestion(const SearchQuestion& q) {
  MR_RETURN_IF_ERROR(CheckTransformer(q.model));
  if (q.global_batch < 1 || q.global_batch > kMostBatch) {
    return absl::InvalidArgumentError(
        absl::StrCat("the global batch is ", q.global_batch, "; it must be from 1 to ", kMostBatch, " sequences"));
  }
  if (q.machine.devices < 1 || q.machine.devices > kMostDevices || q.machine.devices_per_host < 1) {
    return absl::InvalidArgumentError(absl::StrCat("the machine has ", q.machine.devices, " devices, ",
                                                   q.machine.devices_per_host, " in a host; 1 to ", kMostDevices,
                                                   " devices are possible"));
  }
  return absl::OkStatus();
}

bool Fits(double bytes, const SearchQuestion& q) {
  return q.machine.device.memory_bytes == 0 || bytes <= q.machine.device.memory_bytes;
}

// By time, then by configuration, so that equal times have an order.
bool Before(const Candidate& a, const Candidate& b) {
  return std::pair(a.seconds(), a.configuration) < std::pair(b.seconds(), b.configuration);
}

struct BoundedShape {
  double bound;
  Configuration shape;
};

// No variant of the shape is faster: the mean rank's work with nothing made again.
std::vector<BoundedShape> BoundedShapes(const SearchQuestion& q, WorkModel* model) {
  std::map<std::pair<int64_t, int64_t>, double> seconds;  // of all layers, by (micro-batch, t)
  std::vector<BoundedShape> shapes;
  for (const Configuration& c : ShapesOf(q)) {
    auto [at, fresh] = seconds.try_emplace({c.micro_batch, c.tensor_parallel});
    if (fresh) {
      Configuration whole = c;
      whole.pipeline = 1;
      const PhaseSeconds work = model->WorkOf(whole).stages[0].seconds;
      at->second = work.forward + work.backward_input + work.backward_weight;
    }
    shapes.push_back({static_cast<double>(c.micro_batches) * at->second / static_cast<double>(c.pipeline), c});
  }
  std::sort(shapes.begin(), shapes.end(), [](const BoundedShape& a, const BoundedShape& b) {
    return std::pair(a.bound, a.shape) < std::pair(b.bound, b.shape);
  });
  return shapes;
}

// (t, d): neighbours that differ in p only, some devices idle, are much alike.
using Group = std::pair<int64_t, int64_t>;

Group GroupOf(const Candidate& candidate) {
  return {candidate.configuration.tensor_parallel, candidate.configuration.replicas};
}

// Every configuration within the slack, estimated: those that fit, and per (t, d) the fastest that does not.
struct Estimated {
  std::vector<Candidate> fitting;  // by least_memory_bytes: it may turn out, simulated, that one does not
  std::map<Group, Candidate> too_large;
  Candidate smallest;                                            // of all that do not fit
  double least_bound = std::numeric_limits<double>::infinity();  // of what was left out for being slow
};

Estimated EstimateAll(const SearchQuestion& q, WorkModel* model, SearchAnswer* answer) {
  Estimated all;
  all.smallest.estimate.memory_bytes = std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity();
  const std::vector<BoundedShape> shapes = BoundedShapes(q, model);
  answer->shapes = static_cast<int64_t>(shapes.size());
  if (!shapes.empty() && !(shapes[0].bound < kMostSeconds)) return all;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i].bound > kSlack * best) {
      answer->shapes_pruned = static_cast<int64_t>(shapes.size() - i);
      all.least_bound = std::min(all.least_bound, shapes[i].bound);
      break;
    }
    for (const Configuration& c : VariantsOf(q, shapes[i].shape)) {
      Candidate candidate = {c, EstimateStep(c, model), std::nullopt, ""};
      const Estimate& estimate = candidate.estimate;
      if (!(estimate.seconds.step < kMostSeconds)) continue;  // links that never end
      ++answer->estimated;
      if (Fits(estimate.memory_bytes, q)) best = std::min(best, candidate.seconds());
      if (estimate.memory_bytes < all.smallest.estimate.memory_bytes) all.smallest = candidate;
      if (Fits(estimate.least_memory_bytes, q)) {
        if (estimate.bound <= kSlack * best) {
          all.fitting.push_back(std::move(candidate));
        } else {
          all.least_bound = std::min(all.least_bound, estimate.bound);
        }
        continue;
      }
      ++answer->over_memory;
      auto [at, fresh] = all.too_large.try_emplace(GroupOf(candidate), candidate);
      if (!fresh && Before(candidate, at->second)) at->second = candidate;
    }
  }
  std::sort(all.fitting.begin(), all.fitting.end(), Before);
  return all;
}

absl::Status Simulate(Candidate* candidate, WorkModel* model) {
  absl::StatusOr<SimulatedStep> step = SimulateStep(candidate->configuration, model);
  if (!step.ok()) {
    return absl::InternalError(absl::StrCat(candidate->configuration.ToString(), ": ", step.status().message()));
  }
  candidate->simulated = *step;
  return absl::OkStatus();
}

// The fastest by estimate, and the fastest of each of the first few (t, d) so that runners-up differ.
absl::Status SimulateFastest(const SearchQuestion& q, Estimated* all, WorkModel* model, SearchAnswer* answer) {
  std::map<Group, int> of_group;
  double best = std::numeric_limits<double>::infinity();
  // One budget for those that surely fit, one for those that only a simulation can tell of.
  int left[2] = {std::max(1, q.simulations), std::max(1, q.simulations)};
  auto budget = [&](const Candidate& candidate) -> int& { return left[Fits(candidate.estimate.memory_bytes, q)]; };
  auto simulate = [&](Candidate* candidate) -> absl::Status {
    MR_RETURN_IF_ERROR(Simulate(candidate, model));
    --budget(*candidate);
    if (Fits(candidate->simulated->memory_bytes, q)) best = std::min(best, candidate->seconds());
    return absl::OkStatus();
  };
  for (Candidate& candidate : all->fitting) {
    if (of_group.size() >= kGroupsSimulated) break;
    if (!Fits(candidate.estimate.memory_bytes, q) || budget(candidate) <= 0) continue;
    if (of_group[GroupOf(candidate)]++ == 0) MR_RETURN_IF_ERROR(simulate(&candidate));
  }
  for (Candidate& candidate : all->fitting) {
    if (!candidate.simulated.has_value() && budget(candidate) > 0 && candidate.estimate.bound < best) {
      MR_RETURN_IF_ERROR(simulate(&candidate));
    }
  }
  answer->proven = all->least_bound >= best;
  for (const Candidate& candidate : all->fitting) {
    if (!candidate.simulated.has_value() && candidate.estimate.bound < best) answer->proven = false;
  }
  for (Candidate& candidate : all->fitting) {
    if (candidate.simulated.has_value() && Fits(candidate.simulated->memory_bytes, q)) {
      answer->ranked.push_back(std::move(candidate));
    }
  }
  std::sort(answer->ranked.begin(), answer->ranked.end(), Before);
  return absl::OkStatus();
}

void GiveReasons(const SearchQuestion& q, const Estimated& all, SearchAnswer* answer) {
  const Candidate& best = answer->ranked[0];
  for (size_t i = 1; i < answer->ranked.size(); ++i) {
    answer->ranked[i].lost = WhySlower(answer->ranked[i], best, q);
  }
  for (const auto& [group, candidate] : all.too_large) {
    if (candidate.seconds() < best.seconds()) answer->too_large.push_back(candidate);
  }
  std::sort(answer->too_large.begin(), answer->too_large.end(), Before);
  if (answer->too_large.size() > kTooLarge) answer->too_large.resize(kTooLarge);
  for (Candidate& candidate : answer->too_large) candidate.lost = WhyTooLarge(candidate, q);
}

// Each thing that was fixed, freed alone: does something fit then, and how fast is it?
std::vector<std::string> WaysToFit(const SearchQuestion& q) {
  std::vector<std::pair<double, std::string>> ways;
  auto try_with = [&](bool fixed, const char* what, auto release) {
    if (!fixed) return;
    SearchQuestion freer = q;
    release(&freer);
    WorkModel model(freer.model, freer.machine);
    SearchAnswer ignored;
    const Estimated all = EstimateAll(freer, &model, &ignored);
    for (const Candidate& fastest : all.fitting) {
      if (!Fits(fastest.estimate.memory_bytes, q)) continue;
      ways.emplace_back(fastest.seconds(), absl::StrFormat("%s free: %s, %.2f s a step", what,
                                                           fastest.configuration.ToString(), fastest.seconds()));
      return;
    }
  };
  try_with(q.recompute.has_value(), "recomputation", [](SearchQuestion* f) { f->recompute.reset(); });
  try_with(q.sharding.has_value(), "sharding", [](SearchQuestion* f) { f->sharding.reset(); });
  try_with(q.pipeline != 0, "the number of stages", [](SearchQuestion* f) { f->pipeline = 0; });
  try_with(q.micro_batch != 0, "the micro-batch", [](SearchQuestion* f) { f->micro_batch = 0; });
  try_with(q.tensor_parallel != 0, "tensor parallelism", [](SearchQuestion* f) { f->tensor_parallel = 0; });
  try_with(q.schedule.has_value(), "the schedule", [](SearchQuestion* f) { f->schedule.reset(); });
  std::sort(ways.begin(), ways.end());
  std::vector<std::string> texts;
  for (auto& [seconds, text] : ways) texts.push_back(std::move(text));
  return texts;
}

absl::Status NothingFits(const SearchQuestion& q, const Candidate& smallest) {
  std::string text = absl::StrFormat(
      "nothing fits: what needs least memory, %s, needs %.1f GB on a device (%.1f GB of it parameters, "
      "gradients and optimizer) and %.1f GB are there: %.1f GB are missing",
      smallest.configuration.ToString(), smallest.estimate.memory_bytes / 1e9, smallest.estimate.state_bytes / 1e9,
      q.machine.device.memory_bytes / 1e9, (smallest.estimate.memory_bytes - q.machine.device.memory_bytes) / 1e9);
  const std::vector<std::string> ways = WaysToFit(q);
  if (!ways.empty()) {
    absl::StrAppend(&text, ". It fits with ", absl::StrJoin(ways, "; or with "), " (the fastest first)");
  } else {
    absl::StrAppend(&text, ". Recomputation, sharding and more stages were tried; use more devices or larger ones");
  }
  return absl::ResourceExhaustedError(text);
}

}  // namespace

absl::StatusOr<SearchAnswer> Search(const SearchQuestion& question) {
  MR_RETURN_IF_ERROR(CheckQuestion(question));
  WorkModel model(question.model, question.machine);
  SearchAnswer answer;
  Estimated all = EstimateAll(question, &model, &answer);
  if (answer.estimated == 0 && answer.shapes > 0) {
    return absl::InvalidArgumentError(
        "with the speed of these devices and links a step of this model takes longer than a number can say; check "
        "flops_per_second, bytes_per_second and latency_seconds");
  }
  if (answer.estimated == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no configuration of ", question.machine.devices, " devices, ", question.model.layers,
        " layers and a global batch of ", question.global_batch,
        " agrees with what was fixed; micro-batch times replicas must divide the batch, and a schedule may "
        "have at most 2^22 actions"));
  }
  if (all.fitting.empty()) return NothingFits(question, all.smallest);
  MR_RETURN_IF_ERROR(SimulateFastest(question, &all, &model, &answer));
  if (answer.ranked.empty()) return NothingFits(question, all.smallest);
  GiveReasons(question, all, &answer);
  return answer;
}

}  // namespace millrace
