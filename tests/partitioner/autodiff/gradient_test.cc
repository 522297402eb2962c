// Gradients of whole models against finite differences, in double on the reference backend; and rewritten graphs
// against the graphs they were made from.
#include <cmath>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "kernels/random.h"
#include "kernels/reference/reference.h"
#include "partitioner/autodiff/differentiate.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/rewrite/rewrite.h"
#include "tests/partitioner/evaluate.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

class Gradients : public testing::TestWithParam<NamedModel> {
 protected:
  void SetUp() override {
    device_ = OpenReference({}).value();
    model_ = InDouble(GetParam().model);
  }

  Evaluator Made(const Graph& graph) {
    absl::StatusOr<Evaluator> evaluator = Evaluator::Make(graph, device_.get());
    EXPECT_TRUE(evaluator.ok()) << evaluator.status();
    evaluator->Fill(kTestVocabulary);
    return *std::move(evaluator);
  }

  Graph Submitted() const { return BuildGraph(model_, 2).value(); }

  std::unique_ptr<Device> device_;
  proto::Model model_;
};

double LossAt(Evaluator& evaluator, const std::string& parameter, const std::vector<double>& elements) {
  evaluator.Set(parameter, elements);
  EXPECT_TRUE(evaluator.Run().ok());
  return evaluator.Loss();
}

// Central difference along `direction`.
double Slope(Evaluator& evaluator, const std::string& parameter, const std::vector<double>& direction) {
  constexpr double kStep = 1e-5;
  const std::vector<double> middle = evaluator.Get(parameter);
  std::vector<double> up = middle, down = middle;
  for (size_t i = 0; i < middle.size(); ++i) {
    up[i] += kStep * direction[i];
    down[i] -= kStep * direction[i];
  }
  const double slope = (LossAt(evaluator, parameter, up) - LossAt(evaluator, parameter, down)) / (2 * kStep);
  evaluator.Set(parameter, middle);
  return slope;
}

void ExpectGradientsMatch(Evaluator& evaluator) {
  ASSERT_TRUE(evaluator.Run().ok());
  ASSERT_TRUE(std::isfinite(evaluator.Loss()));
  std::vector<std::vector<double>> gradients;
  const int parameters = evaluator.graph().parameters.size();
  for (int p = 0; p < parameters; ++p) gradients.push_back(evaluator.ParameterGradient(p));
  for (int p = 0; p < parameters; ++p) {
    if (!evaluator.graph().parameters[p].trainable) continue;
    const std::string& name = evaluator.graph().parameters[p].name;
    const int n = gradients[p].size();
    double largest = 0;
    for (double g : gradients[p]) largest = std::max(largest, std::abs(g));
    EXPECT_GT(largest, 0) << name << " has no gradient at all";
    // A random direction touches every element; single elements find what cancels in it.
    for (int probe = 0; probe < 4; ++probe) {
      std::vector<double> direction(n, 0);
      for (int i = 0; i < n && probe == 0; ++i) direction[i] = Philox(2, RandomKey(name), 0, 0).Uniform(i) - 0.5;
      if (probe > 0) direction[(n - 1) * (probe - 1) / 2] = 1;
      double expected = 0;
      for (int i = 0; i < n; ++i) expected += direction[i] * gradients[p][i];
      const double tolerance = 1e-6 * std::max(1.0, std::sqrt(n) * largest);
      EXPECT_NEAR(Slope(evaluator, name, direction), expected, tolerance) << name << " probe " << probe;
    }
  }
}

TEST_P(Gradients, OfTheSubmittedGraph) {
  Evaluator evaluator = Made(Differentiate(Submitted()).value());
  ExpectGradientsMatch(evaluator);
}

TEST_P(Gradients, OfTheRewrittenGraph) {
  Evaluator evaluator = Made(Differentiate(Rewrite(Submitted(), Mode::kTrain).value()).value());
  ExpectGradientsMatch(evaluator);
}

TEST_P(Gradients, RewritingChangesNoNumber) {
  Evaluator plain = Made(Differentiate(Submitted()).value());
  Evaluator rewritten = Made(Differentiate(Rewrite(Submitted(), Mode::kTrain).value()).value());
  ASSERT_TRUE(plain.Run().ok());
  ASSERT_TRUE(rewritten.Run().ok());
  EXPECT_NEAR(plain.Loss(), rewritten.Loss(), 1e-10);
  for (size_t p = 0; p < plain.graph().parameters.size(); ++p) {
    const std::vector<double> a = plain.ParameterGradient(p), b = rewritten.ParameterGradient(p);
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a[i], b[i], 1e-10 * std::max(1.0, std::abs(a[i]))) << plain.graph().parameters[p].name << " " << i;
    }
  }
}

TEST_P(Gradients, EvalAndLogitsAgreeWithTheSubmittedGraph) {
  const Graph submitted = Submitted();
  for (const GraphNode& node : submitted.nodes) {
    if (node.op == "Dropout") GTEST_SKIP() << "the submitted graph drops, the others do not";
  }
  Evaluator plain = Made(submitted), eval = Made(Rewrite(submitted, Mode::kEval).value());
  ASSERT_TRUE(plain.Run().ok());
  ASSERT_TRUE(eval.Run().ok());
  EXPECT_NEAR(plain.Loss(), eval.Loss(), 1e-10);
  if (submitted.logits < 0) return;
  Evaluator logits = Made(Rewrite(submitted, Mode::kLogits).value());
  ASSERT_TRUE(logits.Run().ok());
  const std::vector<double> a = plain.Get(model_.logits());
  const std::vector<double> b = logits.Get(logits.graph().values[logits.graph().logits].name);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-10);
}

INSTANTIATE_TEST_SUITE_P(Models, Gradients, testing::ValuesIn(AllTestModels()),
                         [](const testing::TestParamInfo<NamedModel>& test) { return test.param.name; });

}  // namespace
}  // namespace millrace
