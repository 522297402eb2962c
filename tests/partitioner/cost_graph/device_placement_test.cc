// The device-placement files: their conventions against a check node by node, and the published optima.
#include "partitioner/cost_graph/device_placement.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

using Json = nlohmann::json;
constexpr double kNever = std::numeric_limits<double>::infinity();

Json RandomFile(std::mt19937& random) {
  Json file = {{"maxSizePerFPGA", 10 + random() % 40}, {"maxFPGAs", 1 + random() % 3}, {"maxCPUs", random() % 2}};
  file["nodes"] = Json::array();
  file["edges"] = Json::array();
  const int forward = 2 + static_cast<int>(random() % 4), backward = static_cast<int>(random() % 4);
  for (int n = 0; n < forward + backward; ++n) {
    const double idle = random() % 4 == 0 ? 0 : 1;
    Json node = {{"id", 10 * n + 3},
                 {"supportedOnFpga", random() % 10 != 0},
                 {"cpuLatency", idle * double(random() % 40)},
                 {"fpgaLatency", idle * double(random() % 20)},
                 {"isBackwardNode", n >= forward},
                 {"size", double(random() % 8)},
                 {"name", "ignored"}};
    // Classes: mostly a forward node with its backward one; some of several nodes, some of backward nodes alone.
    const unsigned kind = random() % 4;
    if (n >= forward && kind != 0) node["colorClass"] = random() % forward;
    if (n < forward) node["colorClass"] = kind == 0 && n > 0 ? n - 1 : n;
    file["nodes"].push_back(node);
  }
  const auto edge = [&](int from, int to) {
    double cost = double(random() % 5);
    for (const Json& other : file["edges"]) {
      if (other["sourceId"] == 10 * from + 3) cost = other["cost"];
    }
    file["edges"].push_back({{"sourceId", 10 * from + 3}, {"destId", 10 * to + 3}, {"cost", cost}});
  };
  for (int to = 1; to < forward + backward; ++to) {
    for (int from = 0; from < to; ++from) {
      if (random() % 3 == 0) edge(from, to);
    }
  }
  return file;
}

// The least objective over all placements of colour classes on ordered pieces, by the six rules node by node.
double BruteForce(const Json& file) {
  const Json& nodes = file["nodes"];
  const int count = static_cast<int>(nodes.size());
  std::vector<int> group(count);
  std::vector<std::set<int>> members;
  for (int n = 0; n < count; ++n) {
    group[n] = -1;
    for (int m = 0; m < n && group[n] < 0; ++m) {
      if (nodes[n].contains("colorClass") && nodes[m].contains("colorClass") &&
          nodes[n]["colorClass"] == nodes[m]["colorClass"]) {
        group[n] = group[m];
      }
    }
    if (group[n] < 0) group[n] = static_cast<int>(members.size()), members.emplace_back();
    members[group[n]].insert(n);
  }
  const auto index = [&](const Json& id) { return (id.get<int>() - 3) / 10; };
  const auto backward = [&](int n) { return nodes[n]["isBackwardNode"].get<bool>(); };
  const auto backward_only = [&](int g) { return std::all_of(members[g].begin(), members[g].end(), backward); };
  const int groups = static_cast<int>(members.size());
  const int devices = file["maxFPGAs"].get<int>() + file["maxCPUs"].get<int>();
  double best = kNever;
  std::vector<int> piece(groups, 0);
  // Pieces 0 .. devices - 1; which of them are hosts is tried too.
  const auto weigh = [&] {
    for (const Json& edge : file["edges"]) {
      const int from = index(edge["sourceId"]), to = index(edge["destId"]);
      const int a = group[from], b = group[to];
      if (a == b) continue;
      if (!backward(from) && !backward(to) && piece[a] > piece[b]) return;
      if (backward(from) && backward(to) && (backward_only(a) || backward_only(b)) && piece[b] > piece[a]) return;
    }
    for (unsigned hosts = 0; hosts < (1u << devices); ++hosts) {
      if (__builtin_popcount(hosts) != file["maxCPUs"].get<int>()) continue;
      double objective = 0;
      for (int p = 0; p < devices && objective < best; ++p) {
        const bool host = hosts >> p & 1;
        double load = 0, size = 0;
        for (int n = 0; n < count; ++n) {
          if (piece[group[n]] == p) {
            if (!host && !nodes[n]["supportedOnFpga"].get<bool>()) load = kNever;
            load += nodes[n][host ? "cpuLatency" : "fpgaLatency"].get<double>();
            size += nodes[n]["size"].get<double>();
          }
          bool crosses = false;
          double cost = 0;
          for (const Json& edge : file["edges"]) {
            if (index(edge["sourceId"]) != n) continue;
            cost = edge["cost"];
            const int to = piece[group[index(edge["destId"])]];
            crosses = crosses || ((piece[group[n]] == p) != (to == p));
          }
          if (crosses && !host) load += cost;
        }
        if (!host && size > file["maxSizePerFPGA"].get<double>()) load = kNever;
        objective = std::max(objective, load);
      }
      best = std::min(best, objective);
    }
  };
  const std::function<void(int)> place = [&](int g) {
    if (g == groups) return weigh();
    for (piece[g] = 0; piece[g] < devices; ++piece[g]) place(g + 1);
  };
  place(0);
  return best;
}

TEST(DevicePlacementTest, NoPlacementOfTheFileIsBetter) {
  std::mt19937 random(1);
  int feasible = 0, joined = 0;
  for (int round = 0; round < 1500; ++round) {
    const Json file = RandomFile(random);
    const auto graph = ParseDevicePlacement(file.dump());
    ASSERT_TRUE(graph.ok()) << graph.status() << file.dump(1);
    const auto split = ExactSplit(graph->problem, 1000);
    const double best = BruteForce(file);
    joined += static_cast<int>(graph->problem.units.size()) < graph->classes;
    if (best == kNever) {
      EXPECT_FALSE(split.ok()) << file.dump(1);
      continue;
    }
    ++feasible;
    ASSERT_TRUE(split.ok()) << split.status() << file.dump(1);
    ASSERT_NEAR(split->objective, best, 1e-9) << file.dump(1);
  }
  EXPECT_GT(feasible, 700);
  EXPECT_GT(joined, 20);
}

void CheckTable(const std::string& part, bool wanted) {
  const std::string reference = ReferenceFolder();
  if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  int checked = 0;
  for (const Row& row : ReadTable(reference + "/tables/partition_optima.csv")) {
    const std::string& input = row.at("input");
    if ((input.find(part) != std::string::npos) != wanted) continue;
    const auto graph = ParseDevicePlacement(ReadText(reference + "/graphs/dnn-partitioning/" + input));
    ASSERT_TRUE(graph.ok()) << input << graph.status();
    EXPECT_EQ(graph->nodes, std::stoi(row.at("nodes"))) << input;
    EXPECT_EQ(graph->edges, std::stoi(row.at("edges"))) << input;
    EXPECT_EQ(graph->classes, std::stoi(row.at("colour_classes"))) << input;
    // The reference program joins idle units also where memory could tell.
    const bool joins_as_there = std::stod(row.at("total_size_bytes")) <= std::stod(row.at("memory_limit_bytes"));
    if (joins_as_there) {
      EXPECT_EQ(graph->problem.units.size(), std::stoul(row.at("units_after_merging"))) << input;
    }
    for (const bool with_cpus : {true, false}) {
      SplitProblem problem = graph->problem;
      EXPECT_EQ(problem.accelerators, std::stoi(row.at("k_accelerators"))) << input;
      EXPECT_EQ(problem.hosts, std::stoi(row.at("cpus"))) << input;
      if (!with_cpus) problem.hosts = 0;
      const double best = std::stod(row.at(with_cpus ? "exact_contiguous_optimum_ftu" : "exact_without_cpus_ftu"));
      const auto exact = ExactSplit(problem, 500'000), found = DefaultSplit(problem);
      ASSERT_TRUE(exact.ok() && found.ok()) << input << exact.status() << found.status();
      EXPECT_NEAR(exact->objective / best, 1, 1e-6) << input << " with CPUs: " << with_cpus;
      EXPECT_LE(found->objective / best, 1.01) << input << " with CPUs: " << with_cpus;
      EXPECT_GE(found->objective / best, 1 - 1e-6) << input << " with CPUs: " << with_cpus;
      if (joins_as_there) {
        EXPECT_EQ(exact->method, "exact, over " + row.at("down_sets") + " down-sets") << input;
      }
    }
    ++checked;
  }
  EXPECT_GE(checked, 1);
}

TEST(DevicePlacementTest, PublishedOptima) { CheckTable("inception", false); }
TEST(DevicePlacementTest, PublishedOptimumOfInception) { CheckTable("inception", true); }

TEST(DevicePlacementTest, SaysWhatIsWrong) {
  std::mt19937 random(2);
  const Json good = RandomFile(random);
  const auto refused = [&](const std::function<void(Json*)>& change, const std::string& part) {
    Json file = good;
    change(&file);
    const auto graph = ParseDevicePlacement(file.dump());
    EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument) << part;
    EXPECT_NE(graph.status().message().find(part), absl::string_view::npos) << graph.status();
  };
  refused([](Json* f) { f->erase("maxFPGAs"); }, "the file: 'maxFPGAs' must be a whole number");
  refused([](Json* f) { (*f)["maxFPGAs"] = -1; }, "the file has -1 devices");
  refused([](Json* f) { (*f)["maxFPGAs"] = 1e300; }, "the file: 'maxFPGAs' must be a whole number");
  refused([](Json* f) { (*f)["nodes"][1]["fpgaLatency"] = -1; }, "node 13: 'fpgaLatency' must be finite");
  refused([](Json* f) { (*f)["nodes"][1]["fpgaLatency"] = nullptr; }, "node 13: 'fpgaLatency' must be a number");
  refused([](Json* f) { (*f)["nodes"][1]["isBackwardNode"] = 2; }, "'isBackwardNode' must be true, false, 0 or 1");
  refused([](Json* f) { (*f)["nodes"][1]["id"] = 3; }, "node 3 is there twice");
  refused([](Json* f) { (*f)["nodes"] = 7; }, "'nodes' must be a list");
  refused([](Json* f) { (*f)["nodes"] = Json::array(); }, "not in the file");
  refused([](Json* f) { (*f)["nodes"] = (*f)["edges"] = Json::array(); }, "the file has no nodes");
  refused([](Json* f) { (*f)["edges"][0]["destId"] = 999; }, "node 999 is not in the file");
  refused([](Json* f) { (*f)["edges"][0].erase("cost"); }, "edge number 1: 'cost' must be a number");
  for (const char* text : {"", "{", "[1]", "{\"maxFPGAs\": 1e999}", "nodes"}) {
    EXPECT_FALSE(ParseDevicePlacement(text).ok()) << text;
  }
}

}  // namespace
}  // namespace millrace
