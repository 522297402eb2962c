#include "partitioner/search/plan_search.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/choose_schedule.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostStages = 16, kMostBatch = 1 << 20;
constexpr size_t kRefined = 3;

uint64_t LargestArena(const proto::ExecutionPlan& plan) {
  uint64_t largest = 0;
  for (const proto::Rank& rank : plan.ranks()) largest = std::max(largest, rank.arena_bytes());
  return largest;
}

bool Before(const PlanCandidate& a, const PlanCandidate& b) {
  return std::tie(a.seconds, a.pp, a.replicas, a.shard_optimizer, a.micro_batch, a.schedule, a.recompute) <
         std::tie(b.seconds, b.pp, b.replicas, b.shard_optimizer, b.micro_batch, b.schedule, b.recompute);
}

class PlanSearch {
 public:
  PlanSearch(const proto::Model& model, const PlanQuestion& question, const KernelNeedsFn& needs)
      : model_(model), q_(question), needs_(needs) {}

  absl::StatusOr<PlanSearchAnswer> Run() {
    if (q_.global_batch < 1 || q_.global_batch > kMostBatch) {
      return absl::InvalidArgumentError(
          absl::StrCat("the global batch is ", q_.global_batch, "; it must be from 1 to ", kMostBatch, " samples"));
    }
    const int64_t devices = std::min<int64_t>(q_.options.cluster.devices_size(), kMostStages);
    for (int pp = 1; pp <= devices; ++pp) {
      if (q_.fixed_pp && pp != q_.options.pp) continue;
      for (int replicas = 1; pp * replicas <= devices; ++replicas) {
        if (q_.fixed_replicas > 0 && replicas != q_.fixed_replicas) continue;
        if (q_.global_batch % replicas == 0) TryMicroBatches(pp, replicas);
      }
    }
    if (answer_.ranked.empty()) {
      if (!first_error_.ok()) return first_error_;
      return absl::InvalidArgumentError("no number of stages and micro-batches agrees with the batch and the devices");
    }
    Refine();
    std::sort(answer_.ranked.begin(), answer_.ranked.end(), Before);
    for (PlanCandidate& candidate : answer_.ranked) candidate.lost = WhyLost(candidate);
    MR_ASSIGN_OR_RETURN(answer_.plan, PartitionAsAsked(model_, OptionsOf(answer_.ranked[0]), needs_));
    return std::move(answer_);
  }

 private:
  PartitionOptions OptionsOf(const PlanCandidate& candidate) const {
    PartitionOptions options = q_.options;
    options.pp = candidate.pp;
    options.dp = candidate.replicas;
    options.shard_optimizer = candidate.shard_optimizer;
    options.micro_batch = candidate.micro_batch;
    options.micro_batches = candidate.micro_batches;
    options.schedule = candidate.schedule;
    options.recompute = candidate.recompute;
    options.considered = nullptr;
    return options;
  }

  // What takes less memory only where the rest does not fit.
  void TryMicroBatches(int pp, int replicas) {
    const int64_t batch = q_.global_batch / replicas;
    const bool shards = replicas > 1 && !q_.fixed_sharding;
    const int level = replicas > 1 ? q_.options.shard_optimizer : 0;
    for (int64_t b = 1; b <= batch; ++b) {
      if (batch % b != 0 || (q_.fixed_micro_batch && b != q_.options.micro_batch)) continue;
      PlanCandidate candidate;
      candidate.pp = pp;
      candidate.replicas = replicas;
      candidate.micro_batch = b;
      candidate.micro_batches = batch / b;
      candidate.schedule = q_.fixed_schedule ? q_.options.schedule : "1f1b";
      candidate.recompute = q_.fixed_recompute ? q_.options.recompute : "none";
      candidate.shard_optimizer = level;
      if (Try(candidate)) continue;
      candidate.shard_optimizer = shards ? 1 : level;
      if (shards && Try(candidate)) continue;
      if (q_.fixed_recompute) continue;
      candidate.recompute = "all";
      Try(candidate);
    }
  }

  // Was it planned?
  bool Try(PlanCandidate candidate) {
    const absl::StatusOr<proto::ExecutionPlan> plan = PartitionAsAsked(model_, OptionsOf(candidate), needs_);
    if (!plan.ok()) {
      if (first_error_.ok()) first_error_ = plan.status();
      candidate.lost = std::string(plan.status().message());
      answer_.refused.push_back(std::move(candidate));
      return !absl::IsResourceExhausted(plan.status());
    }
    const proto::Program& train = plan->programs(0);
    candidate.schedule = train.schedule();
    candidate.bubble = train.predicted_bubble();
    candidate.largest_arena = LargestArena(*plan);
    candidate.seconds = train.predicted_seconds();
    answer_.ranked.push_back(std::move(candidate));
    return true;
  }

  void Refine() {
    if (q_.fixed_schedule) return;
    std::vector<PlanCandidate> fastest = answer_.ranked;
    std::sort(fastest.begin(), fastest.end(), Before);
    if (fastest.size() > kRefined) fastest.resize(kRefined);
    for (const PlanCandidate& shape : fastest) {
      if (shape.pp == 1) continue;
      PartitionOptions options = OptionsOf(shape);
      options.schedule = "auto";
      options.considered = [&](const std::vector<ScheduleChoice>& choices) {
        for (const ScheduleChoice& choice : choices) AddChoice(shape, choice);
      };
      PartitionAsAsked(model_, options, needs_).IgnoreError();  // the shape has a plan already
    }
  }

  void AddChoice(const PlanCandidate& shape, const ScheduleChoice& choice) {
    if (choice.kind == shape.schedule) return;
    PlanCandidate candidate = shape;
    candidate.schedule = choice.kind;
    candidate.bubble = 0;
    candidate.seconds = choice.seconds;
    candidate.largest_arena = choice.largest_arena;
    candidate.lost = std::string(choice.status.message());
    (choice.status.ok() ? answer_.ranked : answer_.refused).push_back(std::move(candidate));
  }

  std::string WhyLost(const PlanCandidate& candidate) const {
    const PlanCandidate& best = answer_.ranked[0];
    if (&candidate == &best) return "";
    std::string text = absl::StrFormat("%.1f %% slower", 100 * (candidate.seconds / best.seconds - 1));
    if (candidate.bubble > best.bubble + 0.01 && best.bubble > 0) {
      absl::StrAppendFormat(&text, ": bubble %.1f %% (answer: %.1f %%)", 100 * candidate.bubble, 100 * best.bubble);
    } else if (candidate.ranks() < best.ranks()) {
      const int idle = q_.options.cluster.devices_size() - candidate.ranks();
      absl::StrAppend(&text, ": ", idle, idle == 1 ? " device idle" : " devices idle");
    } else if (candidate.recompute != "none" && best.recompute == "none") {
      absl::StrAppend(&text, ": recomputes");
    }
    return text;
  }

  const proto::Model& model_;
  const PlanQuestion& q_;
  const KernelNeedsFn& needs_;
  PlanSearchAnswer answer_;
  absl::Status first_error_;
};

}  // namespace

std::string PlanCandidate::ToString() const {
  return absl::StrCat("p ", pp, replicas > 1 ? absl::StrCat(", d ", replicas) : "",
                      shard_optimizer > 0 ? absl::StrCat(", optimizer sharded at level ", shard_optimizer) : "",
                      ", micro-batch ", micro_batch, " x ", micro_batches, ", ", schedule, ", recompute ", recompute);
}

absl::StatusOr<PlanSearchAnswer> SearchPlans(const proto::Model& model, const PlanQuestion& question,
                                             const KernelNeedsFn& needs) {
  return PlanSearch(model, question, needs).Run();
}

}  // namespace millrace
