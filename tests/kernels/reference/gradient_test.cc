// Every gradient operator of the reference against central differences of its forward operator, all in f64.
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/reference/reference.h"
#include "tests/conformance/run_kernel.h"
#include "tests/kernels/reference/gradient_case.h"

namespace millrace {

void PrintTo(const GradientCase& c, std::ostream* out) { *out << c.gradient.Key(); }

namespace {

class GradientTest : public testing::TestWithParam<GradientCase> {
 protected:
  GradientTest() : device_(*OpenReference({})) {}

  HostTensors Forward(const HostTensors& inputs) const {
    const OpDesc desc = InType(GetParam().forward.desc, proto::F64);
    auto outputs = RunOp(*device_, desc, inputs, FirstOutputsOf(GetParam().forward, proto::F64));
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return *std::move(outputs);
  }

  // sum over the elements of output 0 of dy * y.
  double Objective(const HostTensors& inputs, const HostTensor& dy) const {
    const HostTensors outputs = Forward(inputs);
    double sum = 0;
    for (int64_t i = 0; i < dy.spec.elements(); ++i) sum += dy.at(i) * outputs[0].at(i);
    return sum;
  }

  std::vector<double> CentralDifferences(HostTensors inputs, int input, const HostTensor& dy) const {
    std::vector<double> gradient(inputs[input].spec.elements());
    const double h = 1e-5;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double x = inputs[input].at(i);
      inputs[input].set(i, x + h);
      const double up = Objective(inputs, dy);
      inputs[input].set(i, x - h);
      gradient[i] = (up - Objective(inputs, dy)) / (2 * h);
      inputs[input].set(i, x);
    }
    return gradient;
  }

  HostTensors GradientInputs(const HostTensors& inputs, const HostTensor& dy) const {
    const HostTensors outputs = Forward(inputs);
    HostTensors operands;
    for (const GradientInput& from : GetParam().gradient_inputs) {
      switch (from.from) {
        case GradientInput::ABSENT:
          operands.push_back({});
          break;
        case GradientInput::OUTPUT_GRADIENT:
          operands.push_back(dy);
          break;
        case GradientInput::INPUT:
          operands.push_back(inputs[from.index]);
          break;
        case GradientInput::OUTPUT:
          operands.push_back(outputs[from.index]);
          break;
      }
    }
    return operands;
  }

  const std::unique_ptr<Device> device_;
};

TEST_P(GradientTest, IsCentralDifference) {
  const GradientCase& c = GetParam();
  const HostTensors inputs = InputsOf(c.forward, proto::F64);
  const TensorSpec y = InType(c.forward.desc, proto::F64).outputs[0];
  const bool loss = c.forward.desc.outputs[0].dtype == proto::F64;
  const HostTensor dy = Filled(y, loss ? Fill{.kind = Fill::VALUES, .values = {1}} : Fill(), 17);

  const OpDesc desc = InType(c.gradient, proto::F64);
  // Accumulators start from 0.25, so that what is added to and what is overwritten shows.
  HostTensors first = Trapped(desc.outputs);
  for (size_t i = 0; i < first.size(); ++i) {
    if (IsReadToo(desc, i)) first[i] = Filled(desc.outputs[i], {.kind = Fill::VALUES, .values = {0.25}}, 0);
  }
  const auto got = RunOp(*device_, desc, GradientInputs(inputs, dy), first);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < c.of_input.size(); ++i) {
    if (c.of_input[i] < 0) continue;
    const std::vector<double> want = CentralDifferences(inputs, c.of_input[i], dy);
    const double begin = IsReadToo(desc, i) ? 0.25 : 0;
    for (size_t e = 0; e < want.size(); ++e) {
      ASSERT_NEAR((*got)[i].at(e) - begin, want[e], 1e-7 * (1 + std::abs(want[e])))
          << "output " << i << ", element " << e << " of " << desc.Key();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, GradientTest, testing::ValuesIn(AllGradientCases()),
                         [](const testing::TestParamInfo<GradientCase>& test) { return test.param.name; });

}  // namespace
}  // namespace millrace
