// Values at the edge of what floats hold, data that is wrong, and the kernels for other processors.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "hwy/targets.h"
#include "tests/kernels/cpu/compare_with_reference.h"

namespace millrace {
namespace {

// A step whose gradients went wrong must be seen to have: NaN and infinity are not swallowed.
void ExpectNotANumberPasses() {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  for (const char* op : {"Relu", "Tanh", "Sigmoid", "Silu", "Gelu", "Softmax"}) {
    Case c{Op(op, {F32({1, 19})}, {F32({1, 19})})};
    Operands o = Make(c);
    reinterpret_cast<float*>(o.inputs[0].data())[18] = NAN;
    ASSERT_EQ(RunOnce(**cpu, c.desc, &o), absl::OkStatus());
    EXPECT_TRUE(std::isnan(reinterpret_cast<float*>(o.outputs[0].data())[18])) << op;
  }
}

// Where exp ends: results of 0 and infinity, and the last ones before them.
TEST(Exponential, EndsWhereFloatsEnd) {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  // sigmoid(x) = 1 / (1 + e^-x)
  const float x[] = {-1e30f, -INFINITY, -89, -88.5f, -86, 0, 86, 86.7f, 104, 1e30f, INFINITY};
  Case c{Op("Sigmoid", {F32({11})}, {F32({11})})};
  Operands o = Make(c);
  std::memcpy(o.inputs[0].data(), x, sizeof(x));
  ASSERT_EQ(RunOnce(**cpu, c.desc, &o), absl::OkStatus());
  for (int i = 0; i < 11; ++i) {
    const float y = reinterpret_cast<float*>(o.outputs[0].data())[i];
    EXPECT_NEAR(y, 1 / (1 + std::exp(-static_cast<double>(x[i]))), 1e-7 * y + 1e-38) << x[i];
  }
}

// The kernels compiled for lesser processors, which this machine never chooses by itself.
TEST(OtherInstructionSets, AgreeToo) {
  for (int64_t target : {int64_t{HWY_AVX2}, int64_t{HWY_SCALAR}}) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    for (const char* op : {"Tanh", "Sigmoid", "Gelu"}) Compare({Op(op, {F32({77})}, {F32({77})}), 12, 1, 5e-7, {}, 1});
    const TensorSpec x = F32({40, 77}), c = F32({77}), s = F32({40, 1});
    Compare({Op("LayerNormalizationGrad", {x, x, c, s, s}, {x, c, c}), 3, 1, 4e-6});
    Compare({Op("Softmax", {x}, {x}), 20});
    OpDesc dropout = Op("Dropout", {F32({3, 333})}, {F32({3, 333})});
    dropout.attributes.SetFloat("ratio", 0.3).SetBits("random_key", 5);
    Compare({dropout, 3, 1, 2e-7});
    for (bool grad : {false, true}) Compare({Attention(1, 130, 130, 4, 2, 33, true, true, grad), 2, 1, 6e-6});
    OpDesc sums = Op("SquaredSums", {F32({4003})}, {F64({4})});
    sums.attributes.SetInt("block", 1024);
    Compare({sums, 3, 1, 1e-14});
    ExpectNotANumberPasses();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(WrongInput, IsRefusedAndNamed) {
  auto cpu = OpenCpu({});
  ASSERT_TRUE(cpu.ok());
  Case gather{Op("Gather", {F32({4, 3}), I64({5})}, {F32({5, 3})}), 3, 4};
  Operands o = Make(gather);
  reinterpret_cast<int64_t*>(o.inputs[1].data())[2] = 4;
  const absl::Status status = RunOnce(**cpu, gather.desc, &o);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("index 4 at position 2"), absl::string_view::npos) << status;

  Case loss{Op("SoftmaxCrossEntropyLoss", {F32({4, 3}), I64({4})}, {F64({}), F64({})}), 3, 3};
  o = Make(loss);
  reinterpret_cast<int64_t*>(o.inputs[1].data())[3] = -1;
  EXPECT_EQ(RunOnce(**cpu, loss.desc, &o).code(), absl::StatusCode::kInvalidArgument);

  const auto half = (*cpu)->NewKernel(Op("Neg", {{proto::BF16, {3}}}, {{proto::BF16, {3}}}));
  EXPECT_EQ(half.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(half.status().message().find("bf16"), absl::string_view::npos) << half.status();
}

TEST(NotANumber, PassesThrough) { ExpectNotANumberPasses(); }

}  // namespace
}  // namespace millrace
