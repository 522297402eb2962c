#include "partitioner/search/space.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr int64_t kMostChunks = 8, kMostMicroBatches = 1 << 16, kMostActions = 1 << 22;

std::vector<int64_t> DivisorsOf(int64_t number) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d <= number / d; ++d) {
    if (number % d != 0) continue;
    divisors.push_back(d);
    if (d != number / d) divisors.push_back(number / d);
  }
  std::sort(divisors.begin(), divisors.end());
  return divisors;
}

bool Free(int64_t fixed, int64_t value) { return fixed == 0 || fixed == value; }

bool CanSimulate(const Configuration& c) {
  return c.micro_batches <= kMostMicroBatches && 3 * c.micro_batches * c.stages() <= kMostActions;
}

using Order = std::pair<SearchedSchedule, int64_t>;  // and its chunks

std::vector<Order> OrdersOf(const SearchQuestion& question, const Configuration& shape) {
  std::vector<Order> orders;
  auto add = [&](SearchedSchedule schedule, int64_t chunks) {
    if (question.schedule.has_value() && *question.schedule != schedule) return;
    if (Free(question.chunks, chunks)) orders.emplace_back(schedule, chunks);
  };
  add(SearchedSchedule::k1F1B, 1);
  if (shape.pipeline == 1) return orders;
  if (shape.micro_batches % shape.pipeline == 0) {
    const int64_t most = std::min(kMostChunks, question.model.layers / shape.pipeline);
    for (int64_t v = 2; v <= most; ++v) add(SearchedSchedule::kInterleaved, v);
  }
  add(SearchedSchedule::kZbH1, 1);
  add(SearchedSchedule::kZbH2, 1);
  return orders;
}

bool SplitsBackward(SearchedSchedule schedule) {
  return schedule == SearchedSchedule::kZbH1 || schedule == SearchedSchedule::kZbH2;
}

}  // namespace

std::vector<Configuration> ShapesOf(const SearchQuestion& question) {
  const int64_t devices = question.machine.devices, host = question.machine.devices_per_host;
  std::vector<Configuration> shapes;
  const std::vector<int64_t> replicas = DivisorsOf(question.global_batch);
  for (int64_t t : DivisorsOf(question.model.heads)) {
    if (t > devices || (host % t != 0 && t % host != 0) || !Free(question.tensor_parallel, t)) continue;
    for (int64_t p = 1; p <= std::min(question.model.layers, devices / t); ++p) {
      if (!Free(question.pipeline, p)) continue;
      for (int64_t d : replicas) {
        if (d > devices / (t * p) || !Free(question.replicas, d)) continue;
        const int64_t batch = question.global_batch / d;
        for (int64_t b : replicas) {
          if (b > batch) break;
          if (batch % b != 0 || !Free(question.micro_batch, b)) continue;
          Configuration c;
          c.tensor_parallel = t;
          c.pipeline = p;
          c.replicas = d;
          c.micro_batch = b;
          c.micro_batches = batch / b;
          c.sequence_parallel = t > 1;
          if (CanSimulate(c)) shapes.push_back(c);
        }
      }
    }
  }
  return shapes;
}

std::vector<Configuration> VariantsOf(const SearchQuestion& question, const Configuration& shape) {
  const bool two_placements =
      shape.pipeline > 1 && shape.replicas > 1 && shape.tensor_parallel < question.machine.devices_per_host;
  std::vector<Configuration> variants;
  for (const auto& [schedule, chunks] : OrdersOf(question, shape)) {
    for (ActivationRecompute recompute :
         {ActivationRecompute::kNone, ActivationRecompute::kSelective, ActivationRecompute::kFull}) {
      if (question.recompute.has_value() && *question.recompute != recompute) continue;
      if (SplitsBackward(schedule) && recompute == ActivationRecompute::kFull) continue;
      for (int sharding = 0; sharding <= (shape.replicas > 1 ? 3 : 0); ++sharding) {
        if (question.sharding.has_value() && *question.sharding != sharding && shape.replicas > 1) continue;
        for (Placement placement : {Placement::kReplicasTogether, Placement::kStagesTogether}) {
          if (placement == Placement::kStagesTogether && !two_placements) continue;
          Configuration c = shape;
          c.schedule = schedule;
          c.chunks = chunks;
          c.recompute = recompute;
          c.sharding = sharding;
          c.placement = placement;
          if (CanSimulate(c)) variants.push_back(c);
        }
      }
    }
  }
  return variants;
}

std::vector<Configuration> EveryConfiguration(const SearchQuestion& question) {
  std::vector<Configuration> all;
  for (const Configuration& shape : ShapesOf(question)) {
    const std::vector<Configuration> variants = VariantsOf(question, shape);
    all.insert(all.end(), variants.begin(), variants.end());
  }
  return all;
}

}  // namespace millrace
