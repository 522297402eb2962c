#include "partitioner/search/stage_bounds.h"

#include <algorithm>
#include <limits>

#include "partitioner/search/after_pipeline.h"

namespace millrace {

StageBounds::StageBounds(const PaperChain& chain, const PaperMachine& machine, int64_t tensor_parallel,
                         int64_t micro_batches, int sharding)
    : chain_(chain),
      machine_(machine),
      tensor_parallel_(tensor_parallel),
      micro_batches_(micro_batches),
      sharding_(sharding),
      work_{0},
      forward_{0},
      parameters_{0},
      stash_{0},
      moment_{0},
      send_{0} {
  for (const ChainPiece& piece : chain.pieces) {
    const PhaseSeconds& s = piece.seconds;
    work_.push_back(work_.back() + s.forward + s.backward_input + s.backward_weight);
    forward_.push_back(forward_.back() + s.forward);
    parameters_.push_back(parameters_.back() + piece.parameters);
    stash_.push_back(stash_.back() + piece.stash_bytes);
    moment_.push_back(moment_.back() + piece.moment_bytes);
    send_.push_back(
        std::min(SendSeconds(machine, piece.send_bytes, true), SendSeconds(machine, piece.send_bytes, false)));
  }
}

double StageBounds::Parameters(int begin, int end) const {
  const bool copy = begin > 0 && end == pieces();
  return parameters_[end] - parameters_[begin] + (copy ? chain_.tied_parameters : 0);
}

int64_t StageBounds::WarmUp(const StageChoice& stage) const {
  const int64_t d = stage.replicas;
  return std::min((stage.devices_after + 2 * d - 1) / d, (micro_batches_ + d - 1) / d);
}

double StageBounds::Pipeline(const StageChoice& stage) const {
  const double own = static_cast<double>((micro_batches_ + stage.replicas - 1) / stage.replicas);
  const double ahead = static_cast<double>(WarmUp(stage) - 1) * (forward_[stage.end] - forward_[stage.begin]);
  const double wait = work_.back() - work_[stage.end] + 2 * stage.sends_after - ahead;
  return work_[stage.begin] + own * Work(stage.begin, stage.end) + std::max(0.0, wait);
}

double StageBounds::After(const StageChoice& stage) const {
  const double parameters = Parameters(stage.begin, stage.end);
  const int64_t host = std::max<int64_t>(1, machine_.devices_per_host / tensor_parallel_);
  double reduction = std::numeric_limits<double>::infinity();
  for (int64_t in_host : {int64_t{1}, std::min(host, stage.replicas)}) {
    reduction = std::min(reduction, ReductionSeconds(machine_, parameters, {stage.replicas, in_host}, sharding_, 1));
  }
  return reduction + OptimizerSeconds(machine_, parameters, stage.replicas, sharding_);
}

double StageBounds::MemoryBytes(const StageChoice& stage) const {
  const double stash = chain_.pieces[stage.begin].entry_bytes + stash_[stage.end] - stash_[stage.begin];
  return StateBytes(Parameters(stage.begin, stage.end), stage.replicas, sharding_) +
         static_cast<double>(WarmUp(stage)) * stash + moment_[stage.end] - moment_[stage.begin] + chain_.remade_bytes;
}

void StageBounds::Extend(int stages) const {
  const int n = pieces();
  if (most_even_.empty()) {
    most_even_.emplace_back();
    for (int end = 0; end <= n; ++end) most_even_[0].emplace_back(work_[end], 0);
  }
  while (static_cast<int>(most_even_.size()) < stages) {
    const std::vector<std::pair<double, int>>& fewer = most_even_.back();
    std::vector<std::pair<double, int>> more(n + 1, {std::numeric_limits<double>::infinity(), -1});
    const int before = static_cast<int>(most_even_.size());
    for (int end = before + 1; end <= n; ++end) {
      for (int begin = end - 1; begin >= before; --begin) {
        const double own = Work(begin, end);
        if (own >= more[end].first) break;
        more[end] = std::min(more[end], std::pair(std::max(fewer[begin].first, own), begin));
      }
    }
    most_even_.push_back(std::move(more));
  }
}

std::vector<int> StageBounds::MostEven(int stages) const {
  Extend(stages);
  std::vector<int> first(stages);
  int end = pieces();
  for (int s = stages - 1; s >= 0; --s) {
    first[s] = end = most_even_[s][end].second;
  }
  return first;
}

}  // namespace millrace
