#include "partitioner/search/estimate.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "partitioner/schedule/make_schedule.h"
#include "partitioner/search/after_pipeline.h"
#include "partitioner/search/links.h"
#include "proto/status_macros.h"
#include "runtime/plan/schedule.h"

namespace millrace {
namespace {

bool IsZeroBubble(SearchedSchedule schedule) {
  return schedule == SearchedSchedule::kZbH1 || schedule == SearchedSchedule::kZbH2;
}

double Total(const PhaseSeconds& s) { return s.forward + s.backward_input + s.backward_weight; }

// From each pipeline rank to the next.
std::vector<double> TransferSeconds(const Configuration& c, const LinkUse& links, const WorkModel& model) {
  std::vector<double> seconds(c.pipeline, 0);
  if (c.pipeline == 1) return seconds;
  const double bytes = 2.0 * static_cast<double>(c.micro_batch * model.model().sequence * model.model().hidden);
  const double gather =
      c.tensor_parallel > 1 && !c.sequence_parallel ? AllGatherSeconds(model.machine(), bytes, links.tensor) : 0;
  for (int64_t r = 0; r < c.pipeline; ++r) {
    seconds[r] = gather + SendSeconds(model.machine(), bytes / static_cast<double>(c.tensor_parallel), links.inside[r]);
  }
  return seconds;
}

double ParametersOfRank(const StagesWork& work, const Configuration& c, int64_t rank) {
  double parameters = 0;
  for (int64_t chunk = 0; chunk < c.chunks; ++chunk) parameters += work.stages[chunk * c.pipeline + rank].parameters;
  return parameters;
}

void AddAfterPipeline(const Configuration& c, const StagesWork& work, const LinkUse& links, const WorkModel& model,
                      StepSeconds* seconds) {
  double largest = 0;
  for (int64_t r = 0; r < c.pipeline; ++r) largest = std::max(largest, ParametersOfRank(work, c, r));
  const PaperMachine& machine = model.machine();
  seconds->reduction = ReductionSeconds(machine, largest, links.replicas, c.sharding, c.micro_batches);
  if (c.pipeline > 1 && model.model().tied) {
    const double table = kGradientBytes * static_cast<double>(model.model().vocabulary * model.model().hidden) /
                         static_cast<double>(c.tensor_parallel);
    const int64_t in_host = links.inside.back() ? 2 : 1;
    seconds->reduction += AllReduceSeconds(machine, table, {.ranks = 2, .in_host = in_host});
  }
  seconds->optimizer = OptimizerSeconds(machine, largest, c.replicas, c.sharding);
}

// Chunks' worth of activations that pipeline rank r holds at most.
double InFlight(const Configuration& c, int64_t r) {
  const int64_t after = c.pipeline - 1 - r, m = c.micro_batches;
  switch (c.schedule) {
    case SearchedSchedule::k1F1B:
      return static_cast<double>(std::min(after + 1, m));
    case SearchedSchedule::kInterleaved:
      return static_cast<double>(std::min(2 * after + (c.chunks - 1) * c.pipeline + 1, m * c.chunks));
    case SearchedSchedule::kZbH1:
      return static_cast<double>(std::min(c.pipeline, m));  // (p - i + 1) MB + (i - 1) MW, MW <= MB
    case SearchedSchedule::kZbH2:
      return static_cast<double>(std::min(2 * c.pipeline - 1, m));
  }
  return 0;
}

// What is there for a moment: a layer made again, logits, and of what is sharded one layer whole, while it is gathered
// or reduced.
double WorkingBytes(const Configuration& c, const StagesWork& work, int64_t rank) {
  const double whole = (c.sharding >= 2 ? kGradientBytes : 0) + (c.sharding >= 3 ? kParameterBytes : 0);
  return work.remade_bytes + whole * work.layer_parameters + (rank == c.pipeline - 1 ? work.output_bytes : 0);
}

// Activations that the rank holds at most, and at least at some moment.
struct Activations {
  double most = 0, least = 0;
};

Activations ActivationsOf(const Configuration& c, const StagesWork& work, int64_t rank) {
  double largest = 0, smallest = std::numeric_limits<double>::infinity(), waiting = 0;
  for (int64_t chunk = 0; chunk < c.chunks; ++chunk) {
    const StageWork& stage = work.stages[chunk * c.pipeline + rank];
    largest = std::max(largest, stage.stash_bytes);
    smallest = std::min(smallest, stage.stash_bytes);
    waiting = stage.weight_bytes;
  }
  const double in_flight = InFlight(c, rank);
  if (!IsZeroBubble(c.schedule)) return {in_flight * largest, in_flight * smallest};
  // Warm-up alone; and, with micro-batches enough, in flight for B or waiting for W, which holds fewer bytes.
  const int64_t after = c.pipeline - 1 - rank;
  const int64_t warm_up = std::min((c.schedule == SearchedSchedule::kZbH2 ? 2 * after : after) + 1, c.micro_batches);
  const double steady = c.micro_batches >= 2 * c.pipeline ? in_flight * std::min(waiting, smallest) : 0;
  return {in_flight * largest, std::max(static_cast<double>(warm_up) * smallest, steady)};
}

void EstimateMemory(const Configuration& c, const StagesWork& work, Estimate* estimate) {
  for (int64_t r = 0; r < c.pipeline; ++r) {
    const Activations activations = ActivationsOf(c, work, r);
    const double states = StateBytes(ParametersOfRank(work, c, r), c.replicas, c.sharding),
                 other = states + WorkingBytes(c, work, r);
    estimate->least_memory_bytes = std::max(estimate->least_memory_bytes, other + activations.least);
    if (other + activations.most <= estimate->memory_bytes) continue;
    estimate->memory_bytes = other + activations.most;
    estimate->state_bytes = states;
  }
}

struct PipelineWork {
  double busiest = 0;  // seconds of a micro-batch on the rank that has most
  double mean = 0, mean_tensor_parallel = 0;
  double bound = 0;
  double forward = 0, backward_input = 0, backward_weight = 0;  // means over ranks
};

PipelineWork Summed(const Configuration& c, const StagesWork& work) {
  PipelineWork sum;
  const double m = static_cast<double>(c.micro_batches), p = static_cast<double>(c.pipeline);
  std::vector<double> rank(c.pipeline, 0);
  double forward_way = 0, backward_way = 0;  // of a micro-batch between the first stage and this one
  for (size_t s = 0; s < work.stages.size(); ++s) {
    const PhaseSeconds& seconds = work.stages[s].seconds;
    rank[s % c.pipeline] += Total(seconds);
    sum.forward += seconds.forward / p;
    sum.backward_input += seconds.backward_input / p;
    sum.backward_weight += seconds.backward_weight / p;
    sum.mean_tensor_parallel += seconds.tensor_parallel / p;
    if (c.chunks > 1) continue;
    // The first micro-batch's way to this stage, the stage's work, and the last gradient's way back. 1F1B sends a
    // gradient after B and W together; a zero-bubble schedule after B, and may leave W's for that time.
    const double backward = seconds.backward_input + (IsZeroBubble(c.schedule) ? 0 : seconds.backward_weight);
    sum.bound = std::max(
        {sum.bound, forward_way + m * Total(seconds), forward_way + m * (seconds.forward + backward) + backward_way});
    forward_way += seconds.forward;
    backward_way += backward;
  }
  sum.busiest = *std::max_element(rank.begin(), rank.end());
  sum.mean = std::accumulate(rank.begin(), rank.end(), 0.0) / p;
  sum.bound = std::max(sum.bound, m * sum.busiest);
  return sum;
}

double PipelineSeconds(const Configuration& c, const PipelineWork& work, double hop) {
  const double m = static_cast<double>(c.micro_batches), p = static_cast<double>(c.pipeline);
  const double ideal = m * work.busiest;
  if (c.pipeline == 1) return ideal;
  double length = 0;
  switch (c.schedule) {
    case SearchedSchedule::k1F1B: {
      const double hops = c.micro_batches >= c.pipeline ? (p - 1) * m / p + p - 2 : p - 1;
      length = ideal + (p - 1) * work.mean + 2 * hop * hops;
      break;
    }
    case SearchedSchedule::kInterleaved: {
      const double v = static_cast<double>(c.chunks);
      length = ideal + (p - 1) * work.mean / v + 2 * hop * (v * p - 1);
      break;
    }
    case SearchedSchedule::kZbH1:
      length = ideal + (p - 1) * std::max(0.0, work.forward + work.backward_input - work.backward_weight + 4 * hop);
      break;
    case SearchedSchedule::kZbH2:
      length = ideal + (p - 1) * std::max(0.0, work.forward + work.backward_input - 2 * work.backward_weight + 2 * hop);
      break;
  }
  return std::max(length, work.bound);
}

void SetPipeline(const Configuration& c, const PipelineWork& work, double length, StepSeconds* seconds) {
  const double m = static_cast<double>(c.micro_batches);
  seconds->tensor_parallel = m * work.mean_tensor_parallel;
  seconds->compute = m * work.mean - seconds->tensor_parallel;
  seconds->bubble = length - m * work.mean;
  seconds->step = length + seconds->reduction + seconds->optimizer;
}

}  // namespace

Estimate EstimateStep(const Configuration& c, WorkModel* model) {
  const StagesWork& work = model->WorkOf(c);
  const LinkUse& links = model->LinksFor(c);
  Estimate estimate;
  AddAfterPipeline(c, work, links, *model, &estimate.seconds);
  EstimateMemory(c, work, &estimate);
  const std::vector<double> hops = TransferSeconds(c, links, *model);
  const double hop =
      c.pipeline > 1 ? std::accumulate(hops.begin(), hops.end() - 1, 0.0) / static_cast<double>(c.pipeline - 1) : 0;
  const PipelineWork sum = Summed(c, work);
  SetPipeline(c, sum, PipelineSeconds(c, sum, hop), &estimate.seconds);
  estimate.bound = sum.bound + estimate.seconds.reduction + estimate.seconds.optimizer;
  return estimate;
}

absl::StatusOr<SimulatedStep> SimulateStep(const Configuration& c, WorkModel* model) {
  const StagesWork& work = model->WorkOf(c);
  const LinkUse& links = model->LinksFor(c);
  ScheduleRequest request;
  request.kind = c.pipeline == 1 ? "1f1b" : std::string(NameOf(c.schedule));
  request.ranks = static_cast<int>(c.pipeline);
  request.chunks = static_cast<int>(c.chunks);
  request.micro_batches = static_cast<int>(c.micro_batches);
  const std::vector<double> hops = TransferSeconds(c, links, *model);
  std::vector<double> stash, weight_stash;
  for (size_t s = 0; s < work.stages.size(); ++s) {
    const StageWork& stage = work.stages[s];
    request.forward.push_back(stage.seconds.forward);
    request.backward_input.push_back(stage.seconds.backward_input);
    request.backward_weight.push_back(stage.seconds.backward_weight);
    request.communication.push_back(hops[s % c.pipeline]);
    stash.push_back(stage.stash_bytes);
    weight_stash.push_back(std::min(stage.stash_bytes, stage.weight_bytes));
  }
  MR_ASSIGN_OR_RETURN(const Schedule schedule, MakeSchedule(request));
  MR_RETURN_IF_ERROR(VerifySchedule(schedule));
  MR_ASSIGN_OR_RETURN(ScheduleCosts costs, CostsOfRequest(request));
  costs.stash = stash;
  costs.weight_stash = weight_stash;
  MR_ASSIGN_OR_RETURN(const ScheduleSimulation simulation, SimulateSchedule(schedule, costs));

  SimulatedStep step;
  AddAfterPipeline(c, work, links, *model, &step.seconds);
  SetPipeline(c, Summed(c, work), simulation.makespan, &step.seconds);
  step.bubble_rate = simulation.bubble_rate;
  for (int64_t r = 0; r < c.pipeline; ++r) {
    step.memory_bytes = std::max(step.memory_bytes, StateBytes(ParametersOfRank(work, c, r), c.replicas, c.sharding) +
                                                        simulation.peak_memory[r] + WorkingBytes(c, work, r));
  }
  return step;
}

}  // namespace millrace
