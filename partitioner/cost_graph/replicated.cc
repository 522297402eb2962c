#include "partitioner/cost_graph/replicated.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cost_graph/orders.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// Of the default search, and of the exact one.
constexpr int kFewDownSets = 4000, kMostDownSets = 12'000;
constexpr double kFewSteps = 1e9, kMostSteps = 1e11;
constexpr int kMostOrders = 64;

// Upper-triangular: one number for every pair of sets, the first inside the second or equal.
using Pairs = std::vector<std::vector<double>>;

class Replicator {
 public:
  Replicator(const PipelineGraph& graph, const DownSets& sets, const std::vector<WorkerLevel>& levels)
      : graph_(graph), sets_(sets), levels_(levels), above_(sets.Above()) {
    std::vector<std::vector<int>> users(graph.nodes.size());
    for (const auto& [from, to] : graph.edges) users[from].push_back(to);
    for (int set = 0; set < sets.size(); ++set) {
      double compute = 0, parameters = 0, leaving = 0;
      for (size_t n = 0; n < graph.nodes.size(); ++n) {
        if (!sets.Has(set, static_cast<int>(n))) continue;
        const ProfiledNode& node = graph.nodes[n];
        compute += node.forward_seconds + node.backward_seconds;
        parameters += node.parameter_bytes;
        if (std::any_of(users[n].begin(), users[n].end(), [&](int user) { return !sets.Has(set, user); })) {
          leaving += node.activation_bytes;
        }
      }
      compute_.push_back(compute);
      parameters_.push_back(parameters);
      leaving_.push_back(leaving);
    }
  }

  ReplicatedPlan Plan() {
    Pairs times(sets_.size());
    for (int set = 0; set < sets_.size(); ++set) {
      for (int up : above_[set]) times[set].push_back(compute_[up] - compute_[set]);
    }
    int workers_before = 1;
    for (size_t level = 0; level + 1 < levels_.size(); ++level) {
      Pairs next(sets_.size());
      for (int first = 0; first < sets_.size(); ++first) {
        const Chains chains = From(first, levels_[level], workers_before, times);
        for (int up : above_[first]) next[first].push_back(chains.At(up, levels_[level].workers).seconds);
      }
      times = std::move(next);
      workers_before = levels_[level].workers;
    }
    return Traced(From(0, levels_.back(), workers_before, times), times);
  }

 private:
  // The best chain from a fixed set to `set` with exactly `workers`, and its last stage.
  struct Chain {
    double seconds = kNever;
    int from = -1;  // set
    int replicas = 0;
  };
  struct Chains {
    int workers = 0;
    std::vector<Chain> chains;
    Chain& At(int set, int w) { return chains[int64_t{set} * (workers + 1) + w]; }
    const Chain& At(int set, int w) const { return chains[int64_t{set} * (workers + 1) + w]; }
  };

  double Sync(int from, int to, int replicas, const WorkerLevel& level) const {
    return 4 * (replicas - 1) * (parameters_[to] - parameters_[from]) / (level.bytes_per_second * replicas);
  }

  // A stage after the first.
  double Later(int from, int to, double time, int replicas, const WorkerLevel& level) const {
    const double wire = level.bytes_per_second * replicas;
    double seconds = (time + Sync(from, to, replicas, level)) / replicas;
    seconds = std::max(seconds, 2 * leaving_[from] / wire);
    if (to + 1 < sets_.size()) seconds = std::max(seconds, 2 * leaving_[to] / wire);
    return seconds;
  }

  Chains From(int first, const WorkerLevel& level, int workers_before, const Pairs& times) const {
    Chains chains{level.workers, std::vector<Chain>(int64_t{sets_.size()} * (level.workers + 1))};
    for (size_t i = 0; i < above_[first].size(); ++i) {
      const int to = above_[first][i];
      for (int r = 1; r <= level.workers; ++r) {
        const double seconds = (times[first][i] + Sync(first, to, r, level) / workers_before) / r;
        chains.At(to, r) = {seconds, first, r};
      }
    }
    const int last = sets_.size() - 1;
    for (int from : above_[first]) {
      for (size_t i = 0; i < above_[from].size(); ++i) {
        const int to = above_[from][i];
        for (int r = 1; r < level.workers; ++r) {
          const double stage = Later(from, to, times[from][i], r, level);
          if (stage >= chains.At(to, level.workers).seconds && to == last) continue;
          for (int w = r + 1; w <= level.workers; ++w) {
            const double seconds = std::max(chains.At(from, w - r).seconds, stage);
            if (seconds < chains.At(to, w).seconds) chains.At(to, w) = {seconds, from, r};
          }
        }
      }
    }
    return chains;
  }

  ReplicatedPlan Traced(const Chains& chains, const Pairs& times) const {
    ReplicatedPlan plan;
    int set = sets_.size() - 1, workers = levels_.back().workers;
    plan.seconds = chains.At(set, workers).seconds;
    while (set != 0) {
      const Chain& chain = chains.At(set, workers);
      ReplicatedStage& stage = plan.stages.emplace_back();
      stage.nodes = sets_.Between(chain.from, set);
      stage.replicas = chain.replicas;
      const auto at = std::lower_bound(above_[chain.from].begin(), above_[chain.from].end(), set);
      const double time = times[chain.from][at - above_[chain.from].begin()];
      stage.seconds = chain.from == 0 ? chain.seconds : Later(chain.from, set, time, chain.replicas, levels_.back());
      workers -= chain.replicas;
      set = chain.from;
    }
    std::reverse(plan.stages.begin(), plan.stages.end());
    return plan;
  }

  const PipelineGraph& graph_;
  const DownSets& sets_;
  const std::vector<WorkerLevel>& levels_;
  const std::vector<std::vector<int>> above_;
  std::vector<double> compute_, parameters_, leaving_;
};

double DataParallelSeconds(const PipelineGraph& graph, const std::vector<WorkerLevel>& levels) {
  double seconds = 0, parameters = 0;
  for (const ProfiledNode& node : graph.nodes) {
    seconds += node.forward_seconds + node.backward_seconds;
    parameters += node.parameter_bytes;
  }
  int before = 1;
  for (const WorkerLevel& level : levels) {
    const double n = level.workers;
    seconds = (seconds + 4 * (n - 1) * parameters / (level.bytes_per_second * n) / before) / n;
    before = level.workers;
  }
  return seconds;
}

absl::Status CheckLevels(const std::vector<WorkerLevel>& levels) {
  if (levels.empty()) return absl::InvalidArgumentError("cost graph: there are no workers");
  for (const WorkerLevel& level : levels) {
    if (level.workers < 1) {
      return absl::InvalidArgumentError(absl::StrCat("cost graph: ", level.workers, " workers; at least 1 is needed"));
    }
    if (!std::isfinite(level.bytes_per_second) || level.bytes_per_second <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("cost graph: a bandwidth of ", level.bytes_per_second,
                                                     " bytes/s; it must be finite and above 0"));
    }
  }
  return absl::OkStatus();
}

double Steps(double sets, const std::vector<WorkerLevel>& levels) {
  double steps = 0;
  for (size_t level = 0; level < levels.size(); ++level) {
    const double workers = levels[level].workers;
    steps += sets * sets / 2 * workers * workers / 2 * (level + 1 < levels.size() ? sets / 3 : 1);
  }
  return steps;
}

// What orders are made from.
SplitProblem ProblemOf(const PipelineGraph& graph) {
  SplitProblem problem;
  problem.before = graph.Before();
  std::vector<std::vector<int>> users(graph.nodes.size());
  for (const auto& [from, to] : graph.edges) users[from].push_back(to);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    problem.units.push_back({graph.nodes[n].forward_seconds + graph.nodes[n].backward_seconds});
    std::vector<int> touched = users[n];
    touched.push_back(static_cast<int>(n));
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    if (touched.size() > 1) problem.tensors.push_back({graph.nodes[n].activation_bytes, std::move(touched)});
  }
  return problem;
}

}  // namespace

absl::StatusOr<ReplicatedPlan> PlanReplicated(const PipelineGraph& graph, const std::vector<WorkerLevel>& levels,
                                              bool exact) {
  MR_RETURN_IF_ERROR(CheckLevels(levels));
  if (graph.nodes.empty()) return absl::InvalidArgumentError("cost graph: nothing is left to cut");
  ReplicatedPlan best;
  best.seconds = kNever;
  const absl::StatusOr<DownSets> sets = DownSets::Of(graph.Before(), exact ? kMostDownSets : kFewDownSets);
  if (sets.ok() && Steps(sets->size(), levels) <= (exact ? kMostSteps : kFewSteps)) {
    best = Replicator(graph, *sets, levels).Plan();
    best.exact = true;
    best.method = absl::StrCat("exact, over ", sets->size(), " down-sets");
  } else if (exact) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cost graph: the graph has ",
                     sets.ok() ? absl::StrCat(sets->size(), " down-sets, which on so many workers are too many")
                               : absl::StrCat("more than ", kMostDownSets, " down-sets, the most"),
                     " for the exact search; use the default cut, which needs none of them"));
  } else {
    const double steps = Steps(static_cast<double>(graph.nodes.size()), levels);
    if (steps > kFewSteps) {
      return absl::ResourceExhaustedError(absl::StrCat("cost graph: ", graph.nodes.size(),
                                                       " nodes on so many workers are too many for the search; group "
                                                       "the workers in levels"));
    }
    const SplitProblem problem = ProblemOf(graph);
    std::vector<std::vector<int>> orders = RuleOrders(problem);
    for (int seed = 0; orders.size() < kMostOrders; ++seed) orders.push_back(RandomOrder(problem, seed));
    const int tried = static_cast<int>(std::clamp(kFewSteps / 10 / steps, 1.0, double{kMostOrders}));
    for (int i = 0; i < tried; ++i) {
      const DownSets prefixes = DownSets::OfOrder(orders[i]);
      ReplicatedPlan plan = Replicator(graph, prefixes, levels).Plan();
      if (plan.seconds < best.seconds) best = std::move(plan);
    }
    best.method = absl::StrCat("over the prefixes of ", tried, " orders");
  }
  best.data_parallel_seconds = DataParallelSeconds(graph, levels);
  return best;
}

}  // namespace millrace
