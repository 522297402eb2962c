#include "partitioner/cut/cut.h"

#include <algorithm>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cut/balanced.h"
#include "partitioner/cut/by_hand.h"
#include "partitioner/cut/even.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/rewrite/rewrite.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

double LinkSeconds(uint64_t bytes) { return 1 + static_cast<double>(bytes); }

// Whole numbers, so that sums are exact and ties are ties.
Chain RandomChain(std::mt19937& random, int units, int devices) {
  Chain chain;
  for (int u = 0; u < units; ++u) {
    ChainUnit& unit = chain.units.emplace_back();
    for (int d = 0; d < devices; ++d) {
      unit.forward.push_back(random() % 20);
      unit.backward.push_back(random() % 20);
      unit.weight.push_back(random() % 5);
    }
  }
  for (int t = 0; t < 2 * units; ++t) {
    ChainTensor tensor{.bytes = random() % 8};
    for (int k = 0; k < 4; ++k) tensor.units.push_back(random() % units);
    std::sort(tensor.units.begin(), tensor.units.end());
    tensor.units.erase(std::unique(tensor.units.begin(), tensor.units.end()), tensor.units.end());
    if (tensor.units.size() > 1) chain.tensors.push_back(std::move(tensor));
  }
  return chain;
}

// (slowest stage, border bytes)
std::pair<double, uint64_t> Weigh(const Chain& chain, const Cut& cut, const std::vector<int>& devices,
                                  const LinkSecondsFn& link_seconds = LinkSeconds) {
  std::pair<double, uint64_t> weight = {0, 0};
  for (size_t s = 0; s < devices.size(); ++s) {
    const int end = s + 1 < devices.size() ? cut.first_unit[s + 1] : static_cast<int>(chain.units.size());
    const StageWeight stage = WeighStage(chain, cut.first_unit[s], end, devices[s], link_seconds);
    weight.first = std::max(weight.first, stage.seconds);
    weight.second += stage.bytes;
  }
  return weight;
}

void EachCut(int units, int stages, Cut* cut, const std::function<void()>& visit) {
  if (static_cast<int>(cut->first_unit.size()) == stages) return visit();
  for (int u = cut->first_unit.back() + 1; u < units; ++u) {
    cut->first_unit.push_back(u);
    EachCut(units, stages, cut, visit);
    cut->first_unit.pop_back();
  }
}

TEST(BalancedCutTest, NoCutIsBetter) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const int units = 1 + static_cast<int>(random() % 9);
    const int stages = 1 + static_cast<int>(random() % units);
    const Chain chain = RandomChain(random, units, 2);
    std::vector<int> devices;
    for (int s = 0; s < stages; ++s) devices.push_back(static_cast<int>(random() % 2));
    const auto cut = BalancedCut(chain, devices, LinkSeconds);
    ASSERT_TRUE(cut.ok()) << cut.status();
    ASSERT_EQ(cut->first_unit.size(), devices.size());
    EXPECT_EQ(cut->first_unit[0], 0);
    for (int s = 1; s < stages; ++s) EXPECT_LT(cut->first_unit[s - 1], cut->first_unit[s]);
    std::pair<double, uint64_t> best = {std::numeric_limits<double>::infinity(), 0};
    Cut other{{0}};
    EachCut(units, stages, &other, [&] { best = std::min(best, Weigh(chain, other, devices)); });
    EXPECT_EQ(Weigh(chain, *cut, devices), best) << units << " units, " << stages << " stages";
  }
}

TEST(BalancedCutTest, LongChains) {
  Chain chain;
  for (int u = 0; u < 5000; ++u) chain.units.push_back({"", {u < 2500 ? 1.0 : 3.0}, {0}, {0}, 0});
  for (int u = 1; u < 5000; ++u) chain.tensors.push_back({1, {u - 1, u}});
  const LinkSecondsFn free = [](uint64_t) { return 0.0; };
  const auto cut = BalancedCut(chain, {0, 0, 0, 0}, free);
  ASSERT_TRUE(cut.ok());
  // A quarter of all time each, to within the borders that are looked at.
  EXPECT_NEAR(Weigh(chain, *cut, {0, 0, 0, 0}, free).first, 2500, 30);
}

TEST(BalancedCutTest, MoreStagesThanUnits) {
  std::mt19937 random(1);
  const Chain chain = RandomChain(random, 3, 1);
  for (const absl::Status& status :
       {BalancedCut(chain, {0, 0, 0, 0}, LinkSeconds).status(), EvenCut(chain, 4).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("pp = 4"), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find("3 units"), absl::string_view::npos) << status;
  }
  EXPECT_FALSE(EvenCut(chain, 0).ok());
}

TEST(EvenCutTest, CountsDifferByOneAtMost) {
  std::mt19937 random(1);
  for (int units = 1; units < 12; ++units) {
    const Chain chain = RandomChain(random, units, 1);
    for (int stages = 1; stages <= units; ++stages) {
      const auto cut = EvenCut(chain, stages);
      ASSERT_TRUE(cut.ok());
      int least = units, most = 0;
      for (int s = 0; s < stages; ++s) {
        const int count = (s + 1 < stages ? cut->first_unit[s + 1] : units) - cut->first_unit[s];
        least = std::min(least, count), most = std::max(most, count);
      }
      EXPECT_GE(least, 1);
      EXPECT_LE(most - least, 1);
    }
  }
}

struct Model {
  Graph graph;
  Chain chain;
};

Model Linearised(const proto::Model& model) {
  proto::Cluster cluster;
  cluster.add_devices()->set_name("cpu:0");
  Model out;
  out.graph = Rewrite(BuildGraph(model, 2).value(), Mode::kTrain).value();
  out.chain = Linearise(out.graph, CostsOf(out.graph, CostModel(cluster, proto::CostTable()), 1));
  return out;
}

TEST(LineariseTest, UnitsAreRunsOfNodes) {
  for (const NamedModel& named : AllTestModels()) {
    const Model model = Linearised(named.model);
    int unit = 0;
    for (size_t n = 0; n < model.graph.nodes.size(); ++n) {
      EXPECT_TRUE(model.chain.unit_of_node[n] == unit || model.chain.unit_of_node[n] == unit + 1) << named.name;
      unit = model.chain.unit_of_node[n];
    }
    EXPECT_EQ(unit + 1, static_cast<int>(model.chain.units.size()));
    // Only a view by itself takes no time.
    for (const ChainUnit& u : model.chain.units) {
      EXPECT_TRUE(u.forward[0] > 0 || u.last_node.find("reshape") == 0) << named.name << " " << u.last_node;
    }
    for (const ChainTensor& t : model.chain.tensors) EXPECT_TRUE(std::is_sorted(t.units.begin(), t.units.end()));
  }
}

TEST(CutByHandTest, StagesEndWhereTheNamesSay) {
  const Model model = Linearised(TinyGpt2());
  const std::string first = model.chain.units[1].last_node, second = model.chain.units[4].last_node;
  const auto cut = CutByHand(model.graph, model.chain, 3, {first, second});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->first_unit, std::vector<int>({0, 2, 5}));
  const std::vector<int> stages = StagesOfNodes(model.chain, *cut);
  for (size_t n = 0; n < stages.size(); ++n) {
    const int unit = model.chain.unit_of_node[n];
    EXPECT_EQ(stages[n], unit < 2 ? 0 : unit < 5 ? 1 : 2);
  }
}

TEST(CutByHandTest, NameInsideAUnitMeansItsEnd) {
  // SkipNet has Forks, which stand before the node they serve, in its unit.
  const Model model = Linearised(SkipNet());
  for (size_t n = 0; n + 1 < model.graph.nodes.size(); ++n) {
    if (model.graph.nodes[n].op != "Fork" ||
        model.chain.unit_of_node[n] + 1 == static_cast<int>(model.chain.units.size())) {
      continue;
    }
    const auto cut = CutByHand(model.graph, model.chain, 2, {model.graph.nodes[n].name});
    ASSERT_TRUE(cut.ok()) << cut.status();
    EXPECT_EQ(cut->first_unit[1], model.chain.unit_of_node[n] + 1);
    EXPECT_EQ(StagesOfNodes(model.chain, *cut)[n + 1], 0);
    return;
  }
  FAIL() << "the model has no fork";
}

TEST(CutByHandTest, SaysWhatIsWrong) {
  const Model model = Linearised(TinyGpt2());
  const auto name = [&](int unit) { return model.chain.units[unit].last_node; };
  const auto refused = [&](int stages, const std::vector<std::string>& names, const std::string& part) {
    const auto cut = CutByHand(model.graph, model.chain, stages, names);
    ASSERT_FALSE(cut.ok()) << part;
    EXPECT_EQ(cut.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(cut.status().message().find(part), absl::string_view::npos) << cut.status();
  };
  refused(2, {name(1) + "x"}, "did you mean '" + name(1) + "'?");
  refused(2, {"zzzzzzzzzzzzzzzzzzzzzzzz"}, "no node is named");
  refused(3, {name(4), name(1)}, "'" + name(1) + "' does not come after '" + name(4) + "'");
  refused(3, {name(4), name(4)}, "stage 1 would be empty");
  refused(2, {model.chain.units.back().last_node}, "nothing is left for stage 1");
  refused(3, {name(1)}, "3 stages need 2 names of last nodes; 1 are given");
  refused(100, std::vector<std::string>(99, name(1)), "pp = 100");
}

}  // namespace
}  // namespace millrace
