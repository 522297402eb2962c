#include "partitioner/search/replicated.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/search/after_pipeline.h"

namespace millrace {
namespace {

constexpr double kNotYet = -1;

double Total(const PhaseSeconds& s) { return s.forward + s.backward_input + s.backward_weight; }

struct Item {
  bool forward;
  int64_t micro_batch;
};

// What the replica `replica` of a stage runs.
std::vector<Item> ListOf(const ReplicatedPipeline& pipeline, size_t stage, int64_t replica) {
  const int64_t d = pipeline.stages[stage].replicas, warm_up = WarmUpOf(pipeline, stage);
  std::vector<Item> list;
  int64_t forward = replica;
  for (int64_t backward = replica; backward < pipeline.micro_batches; backward += d) {
    for (; forward < pipeline.micro_batches && forward < backward + warm_up * d; forward += d) {
      list.push_back({true, forward});
    }
    list.push_back({false, backward});
  }
  return list;
}

class Play {
 public:
  Play(const PaperChain& chain, const PaperMachine& machine, const ReplicatedPipeline& pipeline)
      : chain_(chain), machine_(machine), pipeline_(pipeline) {
    int64_t device = 0;
    for (size_t s = 0; s < pipeline.stages.size(); ++s) {
      Stage stage;
      stage.first_rank = static_cast<int>(ranks_.size());
      for (int64_t k = 0; k < pipeline.stages[s].replicas; ++k, device += pipeline.tensor_parallel) {
        ranks_.push_back({static_cast<int>(s), device / machine.devices_per_host, ListOf(pipeline, s, k)});
      }
      SetWork(s, &stage);
      stages_.push_back(std::move(stage));
    }
  }

  // The length, or which rank waits for ever.
  absl::StatusOr<double> Run() {
    for (size_t r = 0; r < ranks_.size(); ++r) awake_.push_back(static_cast<int>(r));
    while (!awake_.empty()) {
      const int r = awake_.back();
      awake_.pop_back();
      while (ranks_[r].next < ranks_[r].list.size() && Step(&ranks_[r])) ++ranks_[r].next;
    }
    double length = 0;
    for (const Rank& rank : ranks_) {
      if (rank.next < rank.list.size()) {
        return absl::InternalError(absl::StrCat(pipeline_.ToString(), ": a replica of stage ", rank.stage,
                                                " waits for ever at micro-batch ", rank.list[rank.next].micro_batch));
      }
      length = std::max(length, rank.now);
    }
    for (const Stage& stage : stages_) {
      for (const std::vector<double>* ends : {&stage.forward_end, &stage.backward_end}) {
        if (std::find(ends->begin(), ends->end(), kNotYet) == ends->end()) continue;
        return absl::InternalError(absl::StrCat(pipeline_.ToString(), ": a micro-batch was left out"));
      }
    }
    return length;
  }

 private:
  struct Stage {
    int first_rank = 0;
    PhaseSeconds seconds;
    double send_inside = 0, send_between = 0;       // to the next stage
    std::vector<double> forward_end, backward_end;  // by micro-batch
  };
  struct Rank {
    int stage = 0;
    int64_t host = 0;
    std::vector<Item> list;
    size_t next = 0;
    double now = 0;
  };

  void SetWork(size_t s, Stage* stage) {
    const int begin = pipeline_.stages[s].first_piece;
    const int end =
        s + 1 < pipeline_.stages.size() ? pipeline_.stages[s + 1].first_piece : static_cast<int>(chain_.pieces.size());
    for (int piece = begin; piece < end; ++piece) {
      const PhaseSeconds& seconds = chain_.pieces[piece].seconds;
      stage->seconds.forward += seconds.forward;
      stage->seconds.backward_input += seconds.backward_input;
      stage->seconds.backward_weight += seconds.backward_weight;
    }
    stage->send_inside = SendSeconds(machine_, chain_.pieces[end - 1].send_bytes, true);
    stage->send_between = SendSeconds(machine_, chain_.pieces[end - 1].send_bytes, false);
    stage->forward_end.assign(pipeline_.micro_batches, kNotYet);
    stage->backward_end.assign(pipeline_.micro_batches, kNotYet);
  }

  int RankOf(int stage, int64_t micro_batch) const {
    return stages_[stage].first_rank + static_cast<int>(micro_batch % pipeline_.stages[stage].replicas);
  }

  // Between stages s and s + 1.
  double TransferSeconds(int s, int64_t micro_batch) const {
    const bool inside = ranks_[RankOf(s, micro_batch)].host == ranks_[RankOf(s + 1, micro_batch)].host;
    return inside ? stages_[s].send_inside : stages_[s].send_between;
  }

  bool Step(Rank* rank) {
    const auto [forward, m] = rank->list[rank->next];
    Stage& stage = stages_[rank->stage];
    const int s = rank->stage, last = static_cast<int>(stages_.size()) - 1;
    double arrival = 0;
    if (forward && s > 0) {
      arrival = stages_[s - 1].forward_end[m];
      if (arrival == kNotYet) return false;
      arrival += TransferSeconds(s - 1, m);
    } else if (!forward && s < last) {
      arrival = stages_[s + 1].backward_end[m];
      if (arrival == kNotYet) return false;
      arrival += TransferSeconds(s, m);
    }
    double& end = (forward ? stage.forward_end : stage.backward_end)[m];
    if (end != kNotYet || (!forward && stage.forward_end[m] == kNotYet)) return false;
    const double duration =
        forward ? stage.seconds.forward : stage.seconds.backward_input + stage.seconds.backward_weight;
    end = rank->now = std::max(rank->now, arrival) + duration;
    const int reader = forward ? s + 1 : s - 1;
    if (reader >= 0 && reader <= last) awake_.push_back(RankOf(reader, m));
    return true;
  }

  const PaperChain& chain_;
  const PaperMachine& machine_;
  const ReplicatedPipeline& pipeline_;
  std::vector<Stage> stages_;
  std::vector<Rank> ranks_;
  std::vector<int> awake_;
};

int EndOf(const PaperChain& chain, const ReplicatedPipeline& pipeline, size_t stage) {
  return stage + 1 < pipeline.stages.size() ? pipeline.stages[stage + 1].first_piece
                                            : static_cast<int>(chain.pieces.size());
}

// The replicas of a stage: of each host that they touch as many members as in the one that has fewest.
RankGroup GroupOf(const ReplicatedPipeline& pipeline, size_t stage, const PaperMachine& machine) {
  int64_t device = 0;
  for (size_t s = 0; s < stage; ++s) device += pipeline.stages[s].replicas * pipeline.tensor_parallel;
  const int64_t replicas = pipeline.stages[stage].replicas;
  int64_t fewest = replicas, here = 0, host = device / machine.devices_per_host;
  for (int64_t k = 0; k < replicas; ++k, device += pipeline.tensor_parallel) {
    if (device / machine.devices_per_host != host) {
      fewest = std::min(fewest, here);
      here = 0;
      host = device / machine.devices_per_host;
    }
    ++here;
  }
  return {.ranks = replicas, .in_host = std::min(fewest, here)};
}

double ParametersOf(const PaperChain& chain, int begin, int end) {
  double parameters = 0;
  for (int piece = begin; piece < end; ++piece) parameters += chain.pieces[piece].parameters;
  const bool copy = begin > 0 && end == static_cast<int>(chain.pieces.size());
  return parameters + (copy ? chain.tied_parameters : 0);
}

ReplicatedStageFigures FiguresOf(const PaperChain& chain, const PaperMachine& machine,
                                 const ReplicatedPipeline& pipeline, size_t s, double length) {
  const int begin = pipeline.stages[s].first_piece, end = EndOf(chain, pipeline, s);
  const int64_t replicas = pipeline.stages[s].replicas;
  ReplicatedStageFigures stage;
  stage.pieces = end - begin;
  stage.first = chain.pieces[begin].name;
  stage.last = chain.pieces[end - 1].name;
  for (int piece = begin; piece < end; ++piece) {
    const PhaseSeconds& seconds = chain.pieces[piece].seconds;
    stage.seconds.forward += seconds.forward;
    stage.seconds.backward_input += seconds.backward_input;
    stage.seconds.backward_weight += seconds.backward_weight;
    stage.seconds.tensor_parallel += seconds.tensor_parallel;
  }
  stage.parameters = ParametersOf(chain, begin, end);
  stage.memory_bytes = MemoryOf(chain, begin, end, replicas, pipeline.sharding, WarmUpOf(pipeline, s));
  if (length > 0) {
    stage.busy =
        static_cast<double>(pipeline.micro_batches) * Total(stage.seconds) / (static_cast<double>(replicas) * length);
  }
  stage.reduction = ReductionOf(chain, machine, pipeline, s);
  stage.inside_host = GroupOf(pipeline, s, machine).in_host >= replicas;
  return stage;
}

// Gradients of a table that the first and the last stage both have.
double TiedSeconds(const PaperChain& chain, const PaperMachine& machine, const ReplicatedPipeline& pipeline) {
  if (chain.tied_parameters == 0 || pipeline.stages.size() < 2) return 0;
  const int64_t first = pipeline.stages.front().replicas, last = pipeline.stages.back().replicas;
  const bool one_host = pipeline.devices() <= machine.devices_per_host;
  // Equal numbers: pair by pair.
  const int64_t ranks = first == last ? 2 : first + last;
  return AllReduceSeconds(machine, kGradientBytes * chain.tied_parameters,
                          {.ranks = ranks, .in_host = one_host ? ranks : 1});
}

}  // namespace

int64_t ReplicatedPipeline::devices() const {
  int64_t replicas = 0;
  for (const ReplicatedStage& stage : stages) replicas += stage.replicas;
  return replicas * tensor_parallel;
}

std::string ReplicatedPipeline::ReplicasText() const {
  return absl::StrJoin(stages, "-",
                       [](std::string* text, const ReplicatedStage& stage) { absl::StrAppend(text, stage.replicas); });
}

std::string ReplicatedPipeline::ToString() const {
  return absl::StrCat("t ", tensor_parallel, ", p ", stages.size(), ", replicas ", ReplicasText(), ", micro-batch ",
                      micro_batch, " x ", micro_batches, " dealt round, 1f1b, recompute ", NameOf(recompute),
                      ", sharding ", sharding);
}

int64_t WarmUpOf(const ReplicatedPipeline& pipeline, size_t stage) {
  int64_t devices = 0;
  for (size_t s = stage; s < pipeline.stages.size(); ++s) devices += pipeline.stages[s].replicas;
  const int64_t own = pipeline.stages[stage].replicas;
  return std::min((devices + own - 1) / own, (pipeline.micro_batches + own - 1) / own);
}

double MemoryOf(const PaperChain& chain, int begin, int end, int64_t replicas, int sharding, int64_t in_flight) {
  double stash = chain.pieces[begin].entry_bytes, moment = chain.remade_bytes;
  for (int piece = begin; piece < end; ++piece) {
    stash += chain.pieces[piece].stash_bytes;
    moment += chain.pieces[piece].moment_bytes;
  }
  return StateBytes(ParametersOf(chain, begin, end), replicas, sharding) + static_cast<double>(in_flight) * stash +
         moment;
}

double ReductionOf(const PaperChain& chain, const PaperMachine& machine, const ReplicatedPipeline& pipeline,
                   size_t stage) {
  const double parameters = ParametersOf(chain, pipeline.stages[stage].first_piece, EndOf(chain, pipeline, stage));
  return ReductionSeconds(machine, parameters, GroupOf(pipeline, stage, machine), pipeline.sharding, 1);
}

absl::StatusOr<ReplicatedStep> PlayReplicated(const PaperChain& chain, const PaperMachine& machine,
                                              const ReplicatedPipeline& pipeline) {
  absl::StatusOr<double> length = Play(chain, machine, pipeline).Run();
  if (!length.ok()) return length.status();
  ReplicatedStep step;
  const double micro_batches = static_cast<double>(pipeline.micro_batches);
  const double ranks = static_cast<double>(pipeline.devices() / pipeline.tensor_parallel);
  double work = 0;
  for (size_t s = 0; s < pipeline.stages.size(); ++s) {
    ReplicatedStageFigures stage = FiguresOf(chain, machine, pipeline, s, *length);
    work += micro_batches * Total(stage.seconds) / ranks;
    step.seconds.tensor_parallel += micro_batches * stage.seconds.tensor_parallel / ranks;
    step.seconds.reduction = std::max(step.seconds.reduction, stage.reduction);
    step.seconds.optimizer =
        std::max(step.seconds.optimizer,
                 OptimizerSeconds(machine, stage.parameters, pipeline.stages[s].replicas, pipeline.sharding));
    step.memory_bytes = std::max(step.memory_bytes, stage.memory_bytes);
    step.stages.push_back(std::move(stage));
  }
  step.seconds.reduction += TiedSeconds(chain, machine, pipeline);
  step.seconds.compute = work - step.seconds.tensor_parallel;
  step.seconds.bubble = *length - work;
  step.seconds.step = *length + step.seconds.reduction + step.seconds.optimizer;
  step.bubble_rate = *length > 0 ? 1 - work / *length : 0;
  return step;
}

}  // namespace millrace
