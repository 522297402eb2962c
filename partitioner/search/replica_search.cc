#include "partitioner/search/replica_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/search/slower.h"
#include "partitioner/search/stage_bounds.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
// Bounds are sums in another order than what is played.
constexpr double kRounding = 1e-12;
constexpr int64_t kMostBatch = 1 << 24, kMostDevices = 1 << 16, kMostMicroBatches = 1 << 16;
constexpr int64_t kMostGroups = 64;  // with unequal replicas
constexpr size_t kRanked = 12;
constexpr int64_t kMostLooks = 20'000'000;  // at a stage before others: seconds, on graphs of thousands of pieces

// One size of micro-batch and kind of recomputation. Heap-allocated, since `bounds` refers to `chain`.
struct Variant {
  ReplicatedPipeline shape;  // without stages
  PaperChain chain;
  std::optional<StageBounds> bounds;
};

// A pipeline whose stages stand from piece `stage.begin` to the end of the chain.
struct Partial {
  StageChoice stage;
  int after = -1;  // index of the partial pipeline that it was made from
  int variant = 0;
  int stages = 0;
  double pipeline = 0;  // the largest bound of its stages
  double following = 0;
};

absl::Status TooSlow() {
  return absl::InvalidArgumentError(
      "with the speed of these devices and links a step of this model takes longer than a number can say; check "
      "flops_per_second, bytes_per_second and latency_seconds");
}

class ReplicaSearch {
 public:
  explicit ReplicaSearch(const ReplicaQuestion& question)
      : q_(question), groups_(question.machine.devices / std::max<int64_t>(1, question.tensor_parallel)) {
    best_ = q_.worth;
  }

  absl::StatusOr<ReplicaAnswer> Run() {
    MR_RETURN_IF_ERROR(CheckQuestion());
    MR_RETURN_IF_ERROR(MakeVariants());
    answer_.proven = true;
    if (q_.replicas.size() < 2) MR_RETURN_IF_ERROR(Equal());
    MR_RETURN_IF_ERROR(Unequal());
    for (auto& [replicas, candidate] : fastest_) answer_.ranked.push_back(std::move(candidate));
    if (answer_.ranked.empty() && q_.worth == kInfinite) return Nothing();
    std::sort(answer_.ranked.begin(), answer_.ranked.end(), [](const ReplicaCandidate& a, const ReplicaCandidate& b) {
      return std::tie(a.step.seconds.step, a.pipeline) < std::tie(b.step.seconds.step, b.pipeline);
    });
    if (answer_.ranked.size() > kRanked) answer_.ranked.resize(kRanked);
    for (size_t i = 1; i < answer_.ranked.size(); ++i) {
      answer_.ranked[i].lost = SlowerText(answer_.ranked[i].step.seconds, answer_.ranked[0].step.seconds);
    }
    return std::move(answer_);
  }

 private:
  absl::Status CheckQuestion() const {
    if (q_.global_batch < 1 || q_.global_batch > kMostBatch) {
      return absl::InvalidArgumentError(
          absl::StrCat("the global batch is ", q_.global_batch, "; it must be from 1 to ", kMostBatch, " samples"));
    }
    if (q_.machine.devices < 1 || q_.machine.devices > kMostDevices || q_.machine.devices_per_host < 1) {
      return absl::InvalidArgumentError(absl::StrCat("the machine has ", q_.machine.devices, " devices, ",
                                                     q_.machine.devices_per_host, " in a host; 1 to ", kMostDevices,
                                                     " devices are possible"));
    }
    int64_t asked = 0;
    for (int64_t replicas : q_.replicas) {
      if (replicas < 1 || replicas > kMostDevices) {
        return absl::InvalidArgumentError(
            absl::StrCat("a stage with ", replicas, " replicas; 1 to ", kMostDevices, " are possible"));
      }
      asked += replicas;
    }
    if (asked > groups_) {
      return absl::InvalidArgumentError(absl::StrCat(asked, " replicas of stages on ", groups_,
                                                     q_.tensor_parallel > 1 ? " tensor-parallel groups" : " devices",
                                                     "; each needs one of its own"));
    }
    if (q_.replicas.size() > 1 && q_.pipeline != 0 && q_.pipeline != static_cast<int64_t>(q_.replicas.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("replicas for ", q_.replicas.size(), " stages, but ", q_.pipeline, " stages"));
    }
    if (q_.pipeline < 0 || q_.pipeline > groups_) {
      return absl::InvalidArgumentError(absl::StrCat(q_.pipeline, " stages on ", groups_, " devices"));
    }
    return absl::OkStatus();
  }

  absl::Status MakeVariants() {
    absl::Status first_error;
    for (int64_t b = 1; b <= q_.global_batch; ++b) {
      if (q_.global_batch % b != 0 || (q_.micro_batch != 0 && b != q_.micro_batch)) continue;
      if (q_.global_batch / b > kMostMicroBatches) continue;
      for (ActivationRecompute recompute : q_.recompute) {
        auto variant = std::make_unique<Variant>();
        absl::StatusOr<PaperChain> chain = q_.chain(b, recompute);
        if (!chain.ok()) {  // a large micro-batch may be too large
          if (first_error.ok()) first_error = chain.status();
          continue;
        }
        variant->chain = *std::move(chain);
        variant->shape.tensor_parallel = q_.tensor_parallel;
        variant->shape.micro_batch = b;
        variant->shape.micro_batches = q_.global_batch / b;
        variant->shape.recompute = recompute;
        variant->shape.sharding = q_.sharding.value_or(1);
        variant->bounds.emplace(variant->chain, q_.machine, q_.tensor_parallel, variant->shape.micro_batches,
                                variant->shape.sharding);
        if (!std::isfinite(variant->bounds->Work(0, variant->bounds->pieces()))) return TooSlow();
        variants_.push_back(std::move(variant));
      }
    }
    if (variants_.empty()) {
      if (!first_error.ok()) return first_error;
      return absl::InvalidArgumentError(absl::StrCat("no micro-batch of ", q_.micro_batch,
                                                     " samples divides a batch of ", q_.global_batch, " into at most ",
                                                     kMostMicroBatches));
    }
    const int64_t stages = std::max<int64_t>(q_.pipeline, static_cast<int64_t>(q_.replicas.size()));
    const int pieces = variants_[0]->bounds->pieces();
    if (stages > pieces) {
      return absl::InvalidArgumentError(absl::StrCat(stages, " stages for ", pieces,
                                                     " pieces that can stand alone; use at most ", pieces, " stages"));
    }
    return absl::OkStatus();
  }

  bool Fits(double bytes) const {
    return q_.machine.device.memory_bytes == 0 || bytes <= q_.machine.device.memory_bytes;
  }

  bool IsWorth(double bound) const { return bound <= best_ * (1 + kRounding); }

  absl::Status PlayOne(int variant, ReplicatedPipeline pipeline) {
    const int64_t actions = 2 * pipeline.micro_batches * static_cast<int64_t>(pipeline.stages.size());
    if (actions_ + actions > q_.most_actions) {
      answer_.proven = false;
      return absl::OkStatus();
    }
    actions_ += actions;
    ++answer_.played;
    MR_ASSIGN_OR_RETURN(ReplicatedStep step, PlayReplicated(variants_[variant]->chain, q_.machine, pipeline));
    if (!Fits(step.memory_bytes) || step.seconds.step >= q_.worth) return absl::OkStatus();
    best_ = std::min(best_, step.seconds.step);
    auto [at, fresh] = fastest_.try_emplace(pipeline.ReplicasText());
    if (fresh || step.seconds.step < at->second.step.seconds.step) {
      at->second = {std::move(pipeline), std::move(step), ""};
    }
    return absl::OkStatus();
  }

  // Equal replicas of every number of stages, most even cuts.
  absl::Status Equal() {
    std::vector<std::tuple<double, int, int, int64_t>> shapes;  // bound, variant, stages, replicas
    for (int v = 0; v < static_cast<int>(variants_.size()); ++v) {
      const StageBounds& bounds = *variants_[v]->bounds;
      const int most = static_cast<int>(std::min<int64_t>(bounds.pieces(), groups_));
      for (int p = 1; p <= most; ++p) {
        if (q_.pipeline != 0 && p != q_.pipeline) continue;
        for (int64_t d = 1; d <= groups_ / p && d <= variants_[v]->shape.micro_batches; ++d) {
          if (!q_.replicas.empty() && d != q_.replicas[0]) continue;
          const double bound = BoundOf(bounds, bounds.MostEven(p), d);
          if (IsWorth(bound)) shapes.emplace_back(bound, v, p, d);
        }
      }
    }
    std::sort(shapes.begin(), shapes.end());
    for (const auto& [bound, v, p, d] : shapes) {
      if (!IsWorth(bound)) break;
      ReplicatedPipeline pipeline = variants_[v]->shape;
      for (int first : variants_[v]->bounds->MostEven(p)) pipeline.stages.push_back({first, d});
      MR_RETURN_IF_ERROR(PlayOne(v, std::move(pipeline)));
    }
    return absl::OkStatus();
  }

  // Infinite where it does not fit.
  double BoundOf(const StageBounds& bounds, const std::vector<int>& first, int64_t replicas) {
    double pipeline = 0, following = 0, memory = 0;
    StageChoice stage = {.end = bounds.pieces(), .replicas = replicas};
    for (size_t s = first.size(); s-- > 0;) {
      stage.begin = first[s];
      memory = std::max(memory, bounds.MemoryBytes(stage));
      pipeline = std::max(pipeline, bounds.Pipeline(stage));
      following = std::max(following, bounds.After(stage));
      if (s == 0) break;
      stage.end = stage.begin;
      stage.devices_after += replicas;
      stage.sends_after += bounds.Send(stage.end);
    }
    least_memory_ = std::min(least_memory_, memory);
    return Fits(memory) ? pipeline + following : kInfinite;
  }

  double BoundOf(const Partial& partial) const {
    const Variant& variant = *variants_[partial.variant];
    double pipeline = partial.pipeline;
    if (partial.stage.begin > 0) {
      const int64_t left = groups_ - partial.stage.devices_after - partial.stage.replicas;
      if (left < 1) return kInfinite;
      const double work = variant.bounds->Work(0, partial.stage.begin);
      pipeline =
          std::max(pipeline, static_cast<double>(variant.shape.micro_batches) * work / static_cast<double>(left));
    }
    return pipeline + partial.following;
  }

  // How many replicas the stage before `stages` others may have.
  std::pair<int64_t, int64_t> ReplicasOf(int stages, int64_t left, int64_t micro_batches) const {
    if (q_.replicas.size() == 1) return {q_.replicas[0], std::min(left, q_.replicas[0])};
    if (!q_.replicas.empty()) {
      const int64_t fixed = q_.replicas[q_.replicas.size() - 1 - stages];
      return {fixed, std::min(left, fixed)};
    }
    return {1, std::min(left, micro_batches)};
  }

  int MostStages() const {
    if (q_.replicas.size() > 1) return static_cast<int>(q_.replicas.size());
    return static_cast<int>(q_.pipeline != 0 ? q_.pipeline : q_.most_stages);
  }
  bool IsExactly(int stages) const { return (q_.pipeline == 0 && q_.replicas.size() < 2) || stages == MostStages(); }

  absl::Status Unequal() {
    if (groups_ > kMostGroups && q_.replicas.size() < 2) {
      answer_.proven = false;
      return absl::OkStatus();
    }
    for (int v = 0; v < static_cast<int>(variants_.size()); ++v) Extend(v, -1);
    while (!queue_.empty()) {
      const auto [bound, begin, index] = queue_.top();
      queue_.pop();
      if (!IsWorth(bound)) break;
      if (begin == 0) {
        MR_RETURN_IF_ERROR(PlayOne(partial_[index].variant, PipelineOf(index)));
      } else {
        Extend(partial_[index].variant, index);
      }
    }
    answer_.partial = static_cast<int64_t>(partial_.size());
    return absl::OkStatus();
  }

  // Puts another stage before those of a partial pipeline (-1: none yet).
  void Extend(int v, int index) {
    const Variant& variant = *variants_[v];
    Partial own = {.variant = v};
    own.stage.begin = variant.bounds->pieces();
    if (index >= 0) own = partial_[index];
    Partial next = own;
    next.after = index;
    next.stages = own.stages + 1;
    next.stage.end = own.stage.begin;
    next.stage.devices_after = index < 0 ? 0 : own.stage.devices_after + own.stage.replicas;
    if (index >= 0) next.stage.sends_after += variant.bounds->Send(next.stage.end);
    const bool last = next.stages == MostStages();
    const auto [least, most] = ReplicasOf(own.stages, groups_ - next.stage.devices_after, variant.shape.micro_batches);
    for (next.stage.replicas = least; next.stage.replicas <= most; ++next.stage.replicas) {
      const int64_t d = next.stage.replicas;
      const double own_batches = static_cast<double>((variant.shape.micro_batches + d - 1) / d);
      for (next.stage.begin = last ? 0 : next.stage.end - 1; next.stage.begin >= 0; --next.stage.begin) {
        if (++looks_ > kMostLooks) {
          answer_.proven = false;
          return;
        }
        next.pipeline = std::max(own.pipeline, variant.bounds->Pipeline(next.stage));
        next.following = own.following;
        if (!IsWorth(own_batches * variant.bounds->Work(next.stage.begin, next.stage.end))) break;  // longer: more so
        if (!IsWorth(next.pipeline + next.following)) continue;
        next.following = std::max(own.following, variant.bounds->After(next.stage));
        Push(next, *variant.bounds);
      }
    }
  }

  void Push(const Partial& next, const StageBounds& bounds) {
    if (next.stage.begin == 0 && !IsExactly(next.stages)) return;
    const double bound = BoundOf(next);
    if (!IsWorth(bound) || bound == kInfinite) return;
    const double memory = bounds.MemoryBytes(next.stage);
    if (!Fits(memory)) {
      least_stage_ = std::min(least_stage_, memory);
      return;
    }
    if (static_cast<int64_t>(partial_.size()) >= q_.most_partial) {
      answer_.proven = false;
      return;
    }
    queue_.emplace(bound, next.stage.begin, static_cast<int>(partial_.size()));
    partial_.push_back(next);
  }

  ReplicatedPipeline PipelineOf(int index) const {
    ReplicatedPipeline pipeline = variants_[partial_[index].variant]->shape;
    for (; index >= 0; index = partial_[index].after) {
      pipeline.stages.push_back({partial_[index].stage.begin, partial_[index].stage.replicas});
    }
    return pipeline;
  }

  absl::Status Nothing() const {
    const double least = least_memory_ < kInfinite ? least_memory_ : least_stage_;
    if (least == kInfinite) return absl::InvalidArgumentError("no pipeline agrees with what was fixed");
    if (Fits(least)) return TooSlow();
    return absl::ResourceExhaustedError(absl::StrFormat(
        "nothing fits: what needs least memory needs %.2f GB on a device and %.2f GB are there: %.2f GB are missing. "
        "Use "
        "more devices or larger ones%s",
        least / 1e9, q_.machine.device.memory_bytes / 1e9, (least - q_.machine.device.memory_bytes) / 1e9,
        q_.recompute.size() < 2 ? ", or recomputation" : ""));
  }

  using Entry = std::tuple<double, int, int>;  // bound, first piece, index in partial_

  const ReplicaQuestion& q_;
  const int64_t groups_;  // tensor-parallel groups of devices
  std::vector<std::unique_ptr<Variant>> variants_;
  std::vector<Partial> partial_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue_;
  std::map<std::string, ReplicaCandidate> fastest_;  // by numbers of replicas
  double best_ = kInfinite;
  double least_memory_ = kInfinite;  // of the fullest device, equal replicas
  double least_stage_ = kInfinite;   // of a stage that did not fit
  int64_t actions_ = 0, looks_ = 0;
  ReplicaAnswer answer_;
};

}  // namespace

absl::StatusOr<ReplicaAnswer> SearchReplicas(const ReplicaQuestion& question) { return ReplicaSearch(question).Run(); }

}  // namespace millrace
