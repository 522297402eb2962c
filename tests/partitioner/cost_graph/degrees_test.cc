// Piper files: every plan there is on small random graphs, and the published plans.
#include "partitioner/cost_graph/degrees.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "gtest/gtest.h"
#include "partitioner/cost_graph/knapsack.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

using Json = nlohmann::json;
constexpr double kNever = std::numeric_limits<double>::infinity();

TEST(KnapsackTest, NoChoiceIsBetter) {
  std::mt19937 random(1);
  int impossible = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::vector<KnapsackOption>> items(1 + random() % 5);
    for (auto& item : items) {
      for (unsigned o = 1 + random() % 3; o > 0; --o) item.push_back({double(random() % 30), double(random() % 30)});
    }
    const double limit = random() % 90;
    double best = kNever;
    const std::function<void(size_t, double, double)> choose = [&](size_t i, double seconds, double bytes) {
      if (i == items.size()) {
        if (bytes <= limit) best = std::min(best, seconds);
        return;
      }
      for (const KnapsackOption& option : items[i]) choose(i + 1, seconds + option.seconds, bytes + option.bytes);
    };
    choose(0, 0, 0);
    const auto choice = LeastSeconds(items, limit);
    ASSERT_EQ(choice.has_value(), best != kNever);
    if (!choice.has_value()) {
      ++impossible;
      continue;
    }
    EXPECT_EQ(choice->seconds, best);
    double seconds = 0, bytes = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      seconds += items[i][choice->options[i]].seconds, bytes += items[i][choice->options[i]].bytes;
    }
    EXPECT_EQ(seconds, best);
    EXPECT_LE(bytes, limit);
  }
  EXPECT_GT(impossible, 100);
}

Json RandomFile(std::mt19937& random) {
  Json file = {{"maxDevices", 1 + random() % 6},
               {"maxMemoryPerDevice", 10 + random() % 60},
               {"bandwidth", 1 + random() % 3},
               {"mbsInBatch", 6}};
  const int nodes = 1 + static_cast<int>(random() % 4);
  file["nodes"] = file["edges"] = Json::array();
  for (int to = 1; to < nodes; ++to) {
    for (int from = 0; from < to; ++from) {
      if (random() % 2 == 0) continue;
      file["edges"].push_back({{"sourceId", from}, {"destId", to}, {"communicationCost", double(random() % 6)}});
    }
  }
  for (int n = 0; n < nodes; ++n) {
    Json node = {{"id", n}, {"name", "layer"}, {"TMPCs", Json::object()}};
    for (int t : {1, 2}) {
      if (t == 2 && random() % 4 == 0) continue;
      for (unsigned v = 1 + random() % 2; v > 0; --v) {
        Json sync_in = Json::object(), sync_out = Json::object();
        for (const Json& edge : file["edges"]) {
          if (edge["destId"] == n) sync_in[std::to_string(edge["sourceId"].get<int>())] = double(random() % 3);
          if (edge["sourceId"] == n) sync_out[std::to_string(edge["destId"].get<int>())] = double(random() % 3);
        }
        node["TMPCs"][std::to_string(t)].push_back({{"id", "v" + std::to_string(v)},
                                                    {"timePerSample", double(2 + random() % 20)},
                                                    {"parameterSize", double(random() % 12)},
                                                    {"memoryUsageA", double(random() % 8)},
                                                    {"memoryUsageB", double(random() % 12)},
                                                    {"syncTimeFw", sync_in},
                                                    {"syncTimeBw", sync_out}});
      }
    }
    file["nodes"].push_back(node);
  }
  return file;
}

// Seconds and bytes of a stage by the rules, from the file itself.
std::pair<double, double> Weigh(const Json& file, unsigned stage, int d, int t, int degrees_from_here,
                                const std::vector<int>& variant_of) {
  const double bandwidth = file["bandwidth"], micro_batches = file["mbsInBatch"];
  const double y = std::ceil(double(degrees_from_here) / d);
  double crossing = 0, parameters = 0, compute = 0, bytes = 0;
  for (size_t n = 0; n < file["nodes"].size(); ++n) {
    if (!(stage >> n & 1)) continue;
    const Json& variant = file["nodes"][n]["TMPCs"][std::to_string(t)][variant_of[n]];
    for (const Json& edge : file["edges"]) {
      const unsigned from = edge["sourceId"], to = edge["destId"];
      if (to == n && !(stage >> from & 1)) {
        crossing += edge["communicationCost"].get<double>() + variant["syncTimeFw"][std::to_string(from)].get<double>();
      }
      if (from == n && !(stage >> to & 1)) {
        crossing += edge["communicationCost"].get<double>() + variant["syncTimeBw"][std::to_string(to)].get<double>();
      }
    }
    parameters += variant["parameterSize"].get<double>();
    compute += variant["timePerSample"].get<double>();
    bytes += variant["memoryUsageA"].get<double>() * y + variant["memoryUsageB"].get<double>();
  }
  return {2 * crossing / (d * bandwidth) + 4 * (d - 1) * parameters / (d * micro_batches * bandwidth) + compute / d,
          bytes};
}

// From the end: all chains, degrees and variants.
double BruteForce(const Json& file) {
  const int nodes = static_cast<int>(file["nodes"].size());
  double best = kNever;
  const std::function<void(unsigned, int, int, double)> extend = [&](unsigned rest, int devices, int degrees,
                                                                     double slowest) {
    if (slowest >= best) return;
    if (rest == 0) {
      best = slowest;
      return;
    }
    for (unsigned stage = rest; stage != 0; stage = (stage - 1) & rest) {
      const unsigned before = rest & ~stage;
      bool forward = true;
      for (const Json& edge : file["edges"]) {
        const unsigned from = edge["sourceId"], to = edge["destId"];
        forward = forward && !((stage >> from & 1) && (before >> to & 1));
      }
      if (!forward) continue;
      for (int t : {1, 2}) {
        for (int d : {1, 2, 3, 6}) {
          if (d * t > devices) continue;
          std::vector<int> variants(nodes, 0);
          const std::function<void(int)> choose = [&](int n) {
            if (n == nodes) {
              const auto [seconds, bytes] = Weigh(file, stage, d, t, degrees + d, variants);
              if (bytes > file["maxMemoryPerDevice"].get<double>()) return;
              extend(before, devices - d * t, degrees + d, std::max(slowest, seconds));
              return;
            }
            if (!(stage >> n & 1)) return choose(n + 1);
            const Json& degrees_of = file["nodes"][n]["TMPCs"];
            if (!degrees_of.contains(std::to_string(t))) return;
            const int count = static_cast<int>(degrees_of[std::to_string(t)].size());
            for (variants[n] = 0; variants[n] < count; ++variants[n]) choose(n + 1);
            variants[n] = 0;
          };
          choose(0);
        }
      }
    }
  };
  extend((1u << nodes) - 1, file["maxDevices"], 0, 0);
  return best;
}

TEST(DegreesTest, NoPlanIsBetter) {
  std::mt19937 random(2);
  int feasible = 0, several = 0;
  for (int round = 0; round < 400; ++round) {
    const Json file = RandomFile(random);
    const auto graph = ParseVariantGraph(file.dump());
    ASSERT_TRUE(graph.ok()) << graph.status() << file.dump(1);
    const double best = BruteForce(file);
    const auto plan = PlanDegrees(*graph, true);
    if (best == kNever) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition) << plan.status() << file.dump(1);
      continue;
    }
    ASSERT_TRUE(plan.ok()) << plan.status() << file.dump(1);
    ASSERT_NEAR(plan->seconds, best, 1e-8 * best) << file.dump(1);
    ++feasible;
    several += plan->stages.size() > 1;
    // The figures of each stage are those of the rules.
    int degrees = 0;
    for (size_t s = plan->stages.size(); s-- > 0;) {
      const DegreeStage& stage = plan->stages[s];
      degrees += stage.data_degree;
      unsigned mask = 0;
      std::vector<int> variants(file["nodes"].size(), 0);
      for (size_t i = 0; i < stage.nodes.size(); ++i) {
        mask |= 1u << stage.nodes[i], variants[stage.nodes[i]] = stage.variants[i];
      }
      const auto [seconds, bytes] = Weigh(file, mask, stage.data_degree, stage.tensor_degree, degrees, variants);
      EXPECT_NEAR(stage.seconds(), seconds, 1e-9 * seconds);
      EXPECT_NEAR(stage.bytes, bytes, 1e-9 * bytes);
    }
  }
  EXPECT_GT(feasible, 150);
  EXPECT_GT(several, 30);
}

TEST(DegreesTest, PublishedPlans) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  int checked = 0;
  for (const Row& row : ReadTable(reference + "/tables/piper_optima.csv")) {
    auto graph = ParseVariantGraph(ReadText(reference + "/graphs/piper/" + row.at("input")));
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph->devices = std::stoi(row.at("k_devices"));
    graph->memory_limit = std::stod(row.at("memory_limit_gib")) * 0x1p30;
    graph->bandwidth = std::stod(row.at("bandwidth_gib_per_s")) * 0x1p30;
    graph->micro_batches = std::stoi(row.at("microbatches"));
    const auto plan = PlanDegrees(*graph, false);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(plan->exact);
    EXPECT_LE(plan->seconds, std::stod(row.at("time_per_sample_s")) * 1.001) << graph->devices << " devices";
    EXPECT_TRUE(EvaluateDegrees(*graph, plan->stages).ok());
    ++checked;
  }
  EXPECT_EQ(checked, 5);
}

TEST(DegreesTest, SaysWhatIsWrong) {
  std::mt19937 random(3);
  Json good = RandomFile(random);
  while (good["nodes"].size() < 3 || good["edges"].empty() || BruteForce(good) == kNever) good = RandomFile(random);
  const auto refused = [&](const std::function<void(Json*)>& change, const std::string& part) {
    Json file = good;
    change(&file);
    const auto graph = ParseVariantGraph(file.dump());
    const absl::Status status = graph.ok() ? PlanDegrees(*graph, false).status() : graph.status();
    EXPECT_FALSE(status.ok()) << part;
    EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
  };
  refused([](Json* f) { f->erase("mbsInBatch"); }, "'mbsInBatch' must be a whole number");
  refused([](Json* f) { (*f)["mbsInBatch"] = 0; }, "0 micro-batches");
  refused([](Json* f) { (*f)["maxDevices"] = 0; }, "0 devices");
  refused([](Json* f) { (*f)["bandwidth"] = 0; }, "a bandwidth of 0 bytes/s");
  refused([](Json* f) { (*f)["maxMemoryPerDevice"] = 0.5; }, "more than a device has");
  refused([](Json* f) { (*f)["nodes"][0]["TMPCs"] = Json::object(); }, "node 0 runs at no degree");
  refused([](Json* f) { (*f)["nodes"][0]["TMPCs"]["0"] = Json::array(); }, "TMPCs['0']");
  refused([](Json* f) { (*f)["nodes"][0]["TMPCs"]["1"][0]["timePerSample"] = nullptr; }, "'timePerSample'");
  refused([](Json* f) { (*f)["nodes"][0]["TMPCs"]["1"][0]["syncTimeFw"]["x"] = 1; }, "names a neighbour 'x'");
  refused([](Json* f) { (*f)["nodes"][1]["id"] = 0; }, "node 0 is there twice");
  refused([](Json* f) { (*f)["edges"][0]["destId"] = 99; }, "node 99 is not in the file");
  refused([](Json* f) { (*f)["edges"][0]["destId"] = (*f)["edges"][0]["sourceId"]; }, "cycle");
}

}  // namespace
}  // namespace millrace
