// PipeDream profiles: the rules of the published program against every chain of stages, and its plans.
#include "partitioner/cost_graph/replicated.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

PipelineGraph RandomGraph(std::mt19937& random) {
  PipelineGraph graph;
  const int nodes = 1 + static_cast<int>(random() % 6);
  for (int n = 0; n < nodes; ++n) {
    graph.nodes.push_back({"node" + std::to_string(n), "Op", 1.0 + random() % 8, 1.0 + random() % 8,
                           double(random() % 6), double(random() % 20)});
    for (int b = 0; b < n; ++b) {
      if (random() % 3 == 0) graph.edges.emplace_back(b, n);
    }
  }
  return graph;
}

// The rules, level by level, over all chains of down-sets.
class BruteForce {
 public:
  BruteForce(const PipelineGraph& graph, const std::vector<WorkerLevel>& levels)
      : graph_(graph), levels_(levels), all_((1u << graph.nodes.size()) - 1) {}

  double Seconds() { return Best(0, all_, static_cast<int>(levels_.size()) - 1, levels_.back().workers, true); }

 private:
  bool IsDownSet(unsigned set) const {
    for (const auto& [from, to] : graph_.edges) {
      if ((set >> to & 1) && !(set >> from & 1)) return false;
    }
    return true;
  }
  double Sum(unsigned set, const std::function<double(const ProfiledNode&)>& of) const {
    double sum = 0;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) sum += (set >> n & 1) ? of(graph_.nodes[n]) : 0;
    return sum;
  }
  double Leaving(unsigned set) const {
    double sum = 0;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      bool leaves = false;
      for (const auto& [from, to] : graph_.edges) {
        leaves = leaves || (from == static_cast<int>(n) && (set >> n & 1) && !(set >> to & 1));
      }
      sum += leaves ? graph_.nodes[n].activation_bytes : 0;
    }
    return sum;
  }
  // What replaces the compute of (from, to] on a level: the best of the level below, with all its workers.
  double Time(unsigned from, unsigned to, int level) {
    if (level == 0) {
      return Sum(to & ~from, [](const ProfiledNode& n) { return n.forward_seconds + n.backward_seconds; });
    }
    return Best(from, to, level - 1, levels_[level - 1].workers, true);
  }
  // The chain from `from` to `to` with exactly so many workers; `first`: of it no stage is there yet.
  double Best(unsigned from, unsigned to, int level, int workers, bool first) {
    if (workers == 0) return from == to ? 0 : kNever;
    if (from == to) return kNever;
    const auto key = std::make_tuple(from, to, level, workers, first);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    const double bandwidth = levels_[level].bytes_per_second;
    double best = kNever;
    const unsigned rest = to & ~from;
    for (unsigned stage = rest; stage != 0; stage = (stage - 1) & rest) {
      const unsigned end = from | stage;
      if (!IsDownSet(end)) continue;
      const double weights = Sum(stage, [](const ProfiledNode& n) { return n.parameter_bytes; });
      for (int r = 1; r <= workers; ++r) {
        double sync = 4 * (r - 1) * weights / (bandwidth * r);
        if (first && level > 0) sync /= levels_[level - 1].workers;
        double seconds = (Time(from, end, level) + sync) / r;
        if (!first) {
          seconds = std::max(seconds, 2 * Leaving(from) / (bandwidth * r));
          if (end != all_) seconds = std::max(seconds, 2 * Leaving(end) / (bandwidth * r));
        }
        best = std::min(best, std::max(seconds, Best(end, to, level, workers - r, false)));
      }
    }
    return known_[key] = best;
  }

  const PipelineGraph& graph_;
  const std::vector<WorkerLevel>& levels_;
  const unsigned all_;
  std::map<std::tuple<unsigned, unsigned, int, int, bool>, double> known_;
};

TEST(ReplicatedTest, NoChainIsBetter) {
  std::mt19937 random(1);
  int replicated = 0;
  for (int round = 0; round < 1500; ++round) {
    const PipelineGraph graph = RandomGraph(random);
    std::vector<WorkerLevel> levels;
    for (unsigned l = 1 + random() % 2; l > 0; --l) {
      levels.push_back({1 + static_cast<int>(random() % (levels.empty() ? 5 : 3)), 0.5 + double(random() % 4)});
    }
    const auto plan = PlanReplicated(graph, levels, true);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const double best = BruteForce(graph, levels).Seconds();
    ASSERT_NEAR(plan->seconds, best, 1e-9 * best) << "round " << round << ", " << levels.size() << " levels";
    int workers = 0;
    size_t nodes = 0;
    double slowest = 0;
    for (const ReplicatedStage& stage : plan->stages) {
      workers += stage.replicas, nodes += stage.nodes.size(), slowest = std::max(slowest, stage.seconds);
      replicated += stage.replicas > 1 && plan->stages.size() > 1;
    }
    EXPECT_EQ(workers, levels.back().workers);
    EXPECT_EQ(nodes, graph.nodes.size());
    EXPECT_NEAR(slowest, plan->seconds, 1e-12 * slowest);
  }
  EXPECT_GT(replicated, 100);
}

TEST(ReplicatedTest, PublishedPlans) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  int checked = 0;
  for (const Row& row : ReadTable(reference + "/tables/pipedream_plans.csv")) {
    if (row.at("kind") != "recomputed") continue;
    const std::string& name = row.at("graph");
    const auto whole = ParsePipelineGraph(ReadText(reference + "/graphs/pipedream/" + name + "/graph.txt"));
    ASSERT_TRUE(whole.ok()) << name << whole.status();
    std::vector<WorkerLevel> levels;
    std::stringstream counts(row.at("levels_inner_x_outer")), bandwidths(row.at("bandwidth_bytes_per_s_inner_first"));
    for (std::string count, bandwidth; std::getline(counts, count, 'x') && std::getline(bandwidths, bandwidth, ';');) {
      levels.push_back({std::stoi(count), std::stod(bandwidth)});
    }
    const auto plan = PlanReplicated(Trimmed(*whole), levels);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const std::string where = name + " " + row.at("levels_inner_x_outer");
    const double known = std::stod(row.at("stage_s_best_known"));
    if (row.at("stage_s_program_rules") == row.at("stage_s_best_known")) {
      EXPECT_NEAR(plan->seconds / known, 1, 1e-9) << where;
    } else {
      EXPECT_LE(plan->seconds / known, 1 + 1e-9) << where;
    }
    const double data_parallel = std::stod(row.at("plain_data_parallel_s"));
    EXPECT_NEAR(plan->data_parallel_seconds / data_parallel, 1, 1e-9) << where;
    if (where == "vgg16 4") {
      ASSERT_EQ(plan->stages.size(), 2u);
      EXPECT_EQ(plan->stages[0].replicas, 3);
      EXPECT_EQ(Trimmed(*whole).nodes[plan->stages[0].nodes.back()].name, "node18");
    }
    ++checked;
  }
  EXPECT_GE(checked, 20);
}

TEST(PipelineGraphTest, TotalsOfTheFiles) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  for (const Row& row : ReadTable(reference + "/tables/graph_totals.csv")) {
    const std::string& name = row.at("graph");
    const auto graph = ParsePipelineGraph(ReadText(reference + "/graphs/pipedream/" + name + "/graph.txt"));
    ASSERT_TRUE(graph.ok()) << name << graph.status();
    const PipelineGraph trimmed = Trimmed(*graph);
    double forward = 0, activations = 0, parameters = 0, compute = 0;
    for (const ProfiledNode& node : graph->nodes) {
      forward += node.forward_seconds, activations += node.activation_bytes, parameters += node.parameter_bytes;
    }
    for (const ProfiledNode& node : trimmed.nodes) compute += node.forward_seconds + node.backward_seconds;
    EXPECT_EQ(std::to_string(graph->nodes.size()), row.at("nodes")) << name;
    EXPECT_EQ(std::to_string(graph->edges.size()), row.at("edges")) << name;
    EXPECT_EQ(std::to_string(trimmed.nodes.size()), row.at("nodes_after_trim")) << name;
    EXPECT_EQ(std::to_string(trimmed.edges.size()), row.at("edges_after_trim")) << name;
    EXPECT_NEAR(forward * 1e3, std::stod(row.at("forward_ms")), 1e-6) << name;
    EXPECT_NEAR(compute * 1e3, std::stod(row.at("compute_ms_after_trim")), 1e-6) << name;
    EXPECT_EQ(activations, std::stod(row.at("activation_bytes"))) << name;
    EXPECT_EQ(parameters, std::stod(row.at("parameter_bytes"))) << name;
  }
}

constexpr char kNode[] =
    "node1 -- Conv(3, 64) -- forward_compute_time=1.5, backward_compute_time=2, activation_size=[8.0; 4.000], "
    "parameter_size=16\n";

TEST(PipelineGraphTest, ReadsWhatTheProfilersWrite) {
  const std::string second =
      "node2 -- ReLU -- forward_compute_time=1e-1, backward_compute_time=0.0, activation_size=1.0, "
      "parameter_size=0.0 -- stage_id=1";
  const auto graph = ParsePipelineGraph("\tnode1 -- node2\n" + second + "\n" + kNode);
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->nodes.size(), 2u);
  EXPECT_EQ(graph->nodes[0].description, "Conv(3, 64)");
  EXPECT_EQ(graph->nodes[0].activation_bytes, 12);
  EXPECT_DOUBLE_EQ(graph->nodes[1].forward_seconds, 1e-4);
  EXPECT_EQ(graph->edges, (std::vector<std::pair<int, int>>{{0, 1}}));
}

TEST(PipelineGraphTest, SaysWhatIsWrong) {
  const auto refused = [](const std::string& text, const std::string& part) {
    const auto graph = ParsePipelineGraph(text);
    EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument) << part;
    EXPECT_NE(graph.status().message().find(part), absl::string_view::npos) << graph.status();
  };
  const std::string node = kNode;
  refused("", "no nodes");
  refused(node + node, "line 2: node1 is there twice");
  refused(node + "\tnode1 -- node7\n", "line 2: there is no node7");
  refused(node + "\tnode1 -- node1\n", "cycle");
  refused(node + "\tnode1\n", "line 2: an edge is");
  refused("something\n", "line 1: it begins with no nodeN");
  refused("node99999999999999999999 -- a -- b\n", "line 1: it begins with no nodeN");
  refused("node1 -- ReLU\n", "line 1: a node is");
  refused("node1 -- ReLU -- forward_compute_time=1\n", "backward_compute_time is missing");
  for (const char* bad : {"nan", "inf", "-1", "1e999", "", "[1; x]", "[1"}) {
    std::string text = node;
    text.replace(text.find("=1.5"), 4, std::string("=") + bad);
    refused(text, "is no NAME=NUMBER");
  }
  const auto graph = ParsePipelineGraph(node);
  ASSERT_TRUE(graph.ok());
  EXPECT_FALSE(PlanReplicated(*graph, {}).ok());
  EXPECT_FALSE(PlanReplicated(*graph, {{0, 1e9}}).ok());
  EXPECT_FALSE(PlanReplicated(*graph, {{4, 0}}).ok());
  EXPECT_FALSE(PlanReplicated(*graph, {{4, kNever}}).ok());
  EXPECT_FALSE(PlanReplicated(PipelineGraph{}, {{4, 1e9}}).ok());
}

}  // namespace
}  // namespace millrace
