// Which configuration is best, and what falls with what, as SC21 measured it: the model must find the same orders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "partitioner/paper/transformer.h"
#include "partitioner/search/estimate.h"
#include "tests/partitioner/cost_graph/tables.h"

namespace millrace {
namespace {

int64_t Whole(const Row& row, const std::string& column) { return std::stoll(row.at(column)); }

// TFLOP/s per GPU as SC21 counts them: recomputed FLOPs included.
double Predicted(const Row& row) {
  const Transformer model = {.layers = Whole(row, "layers"),
                             .hidden = Whole(row, "hidden"),
                             .heads = Whole(row, "heads"),
                             .sequence = 2048,
                             .vocabulary = 51200};
  PaperMachine machine;
  machine.devices = Whole(row, "gpus");
  Configuration c;
  c.tensor_parallel = Whole(row, "t_tensor_parallel");
  c.pipeline = Whole(row, "p_pipeline_stages");
  c.replicas = Whole(row, "d_data_parallel");
  c.micro_batch = Whole(row, "microbatch_sequences");
  c.micro_batches = Whole(row, "m_microbatches_per_pipeline");
  c.recompute = ActivationRecompute::kFull;
  c.chunks = row.at("v_chunks").empty() ? 1 : Whole(row, "v_chunks");
  c.schedule = c.chunks > 1 ? SearchedSchedule::kInterleaved : SearchedSchedule::k1F1B;
  WorkModel work(model, machine);
  const absl::StatusOr<SimulatedStep> step = SimulateStep(c, &work);
  EXPECT_EQ(step.status(), absl::OkStatus()) << c.ToString();
  if (!step.ok()) return 0;
  const double batch = static_cast<double>(c.replicas * c.micro_batch * c.micro_batches);
  return HardwareFlops(model, batch, ActivationRecompute::kFull) / static_cast<double>(c.devices()) /
         step->seconds.step / 1e12;
}

struct Point {
  int64_t at;
  double predicted, published;
};

class PublishedOrders : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reference = ReferenceFolder();
    if (reference.empty()) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
    rows_ = ReadTable(reference + "/tables/sc21_figures.csv");
    table1_ = ReadTable(reference + "/tables/sc21_table1.csv");
  }

  // A curve of a figure, in the table's order.
  std::vector<Point> Curve(const std::string& figure, const std::string& batch, const std::string& axis) {
    std::vector<Point> points;
    for (const Row& row : rows_) {
      if (row.at("figure") != figure || row.at("global_batch_sequences") != batch) continue;
      points.push_back({Whole(row, axis), Predicted(row), std::stod(row.at("tflops_per_gpu"))});
    }
    EXPECT_GE(points.size(), 4u);
    return points;
  }

  static int64_t Best(const std::vector<Point>& points) {
    return std::max_element(points.begin(), points.end(),
                            [](const Point& a, const Point& b) { return a.predicted < b.predicted; })
        ->at;
  }

  static bool Falls(const std::vector<Point>& points) {
    return std::is_sorted(points.begin(), points.end(),
                          [](const Point& a, const Point& b) { return a.predicted > b.predicted; });
  }

  std::vector<Row> rows_, table1_;
};

TEST_F(PublishedOrders, Figure13TensorEightPipelineEight) {
  EXPECT_EQ(Best(Curve("13", "32", "t_tensor_parallel")), 8);
  EXPECT_EQ(Best(Curve("13", "128", "t_tensor_parallel")), 8);
}

TEST_F(PublishedOrders, Figure14FallsWithThePipeline) {
  EXPECT_TRUE(Falls(Curve("14", "32", "p_pipeline_stages")));
  EXPECT_TRUE(Falls(Curve("14", "512", "p_pipeline_stages")));
}

TEST_F(PublishedOrders, Figure15FallsWithTensorParallelism) {
  EXPECT_TRUE(Falls(Curve("15", "128", "t_tensor_parallel")));
  EXPECT_TRUE(Falls(Curve("15", "512", "t_tensor_parallel")));
}

TEST_F(PublishedOrders, Figure16MicroBatchTwo) {
  EXPECT_EQ(Best(Curve("16", "128", "microbatch_sequences")), 2);
  EXPECT_EQ(Best(Curve("16", "512", "microbatch_sequences")), 2);
}

// Absolute figures hang on their machines; that they come out near says that the orders are no accident.
TEST_F(PublishedOrders, FiguresAreNear) {
  double squares = 0, worst = 0;
  int points = 0;
  auto add = [&](double predicted, double published) {
    const double error = std::log(predicted / published);
    squares += error * error;
    worst = std::max(worst, std::abs(error));
    ++points;
  };
  for (const Row& row : rows_) {
    const std::string& figure = row.at("figure");
    if (figure < "13" || figure > "16") continue;
    add(Predicted(row), std::stod(row.at("tflops_per_gpu")));
  }
  for (const Row& row : table1_) add(Predicted(row), std::stod(row.at("tflops_per_gpu_published")));
  std::printf("%d points: root mean square error %.1f %%, largest %.1f %%\n", points, 100 * std::sqrt(squares / points),
              100 * worst);
  EXPECT_EQ(points, 53);
  EXPECT_LT(std::sqrt(squares / points), 0.08);
  EXPECT_LT(worst, 0.2);
}

}  // namespace
}  // namespace millrace
