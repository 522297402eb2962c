#include "partitioner/cut/pins.h"

#include "gtest/gtest.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/rewrite/rewrite.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

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

TEST(PinsTest, ReadsLines) {
  const auto pins = ParsePins("# frozen\nembed 0\n\n  head\t 3  # the last\nname with spaces 1\r\n", "pins.txt");
  ASSERT_TRUE(pins.ok()) << pins.status();
  ASSERT_EQ(pins->size(), 3u);
  EXPECT_EQ((*pins)[0].node, "embed");
  EXPECT_EQ((*pins)[1].node, "head");
  EXPECT_EQ((*pins)[1].stage, 3);
  EXPECT_EQ((*pins)[2].node, "name with spaces");
  EXPECT_TRUE(ParsePins("", "pins.txt")->empty());
  for (const char* bad : {"embed\n", "embed x\n", "embed 99999999999\n", "7\n"}) {
    const auto refused = ParsePins(std::string("ok 0\n") + bad, "pins.txt");
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_NE(refused.status().message().find("pins.txt:2: "), absl::string_view::npos) << refused.status();
  }
}

TEST(PinsTest, UnitsOfNodes) {
  const Model model = Linearised(TinyGpt2());
  const int last = static_cast<int>(model.chain.units.size()) - 1;
  const auto pinned = PinnedUnits(model.graph, model.chain, 3,
                                  {{model.chain.units[1].last_node, 0}, {model.chain.units[last].last_node, 2}});
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  for (int u = 0; u <= last; ++u) EXPECT_EQ((*pinned)[u], u == 1 ? 0 : u == last ? 2 : -1);
}

TEST(PinsTest, SaysWhatIsWrong) {
  const Model model = Linearised(TinyGpt2());
  const auto name = [&](int unit) { return model.chain.units[unit].last_node; };
  const auto refused = [&](const std::vector<Pin>& pins, const std::string& part) {
    const auto pinned = PinnedUnits(model.graph, model.chain, 3, pins);
    EXPECT_EQ(pinned.status().code(), absl::StatusCode::kInvalidArgument) << part;
    EXPECT_NE(pinned.status().message().find(part), absl::string_view::npos) << pinned.status();
  };
  refused({{name(1) + "x", 0}}, "did you mean '" + name(1) + "'?");
  refused({{name(1), 3}}, "'" + name(1) + "' to stage 3, but the stages are 0 to 2");
  refused({{name(1), -1}}, "to stage -1");
  refused({{name(1), 0}, {name(1), 1}}, "one fused unit");
  // The first unit leads to the last, whatever is between.
  refused({{name(0), 2}, {name(9), 1}}, "'" + name(9) + "' to stage 1 and '" + name(0) + "' to stage 2");
}

}  // namespace
}  // namespace millrace
