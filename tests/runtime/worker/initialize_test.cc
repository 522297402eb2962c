#include "runtime/worker/initialize.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/op_desc.h"

namespace millrace {
namespace {

using proto::Initializer;

proto::PlannedParameter Parameter(Initializer::Kind kind, DType dtype, const std::vector<int64_t>& dims,
                                  double value = 0, double scale = 1, const std::string& name = "w") {
  proto::PlannedParameter parameter;
  parameter.set_name(name);
  *parameter.mutable_type() = TensorSpec{dtype, dims}.ToProto();
  parameter.mutable_initializer()->set_kind(kind);
  parameter.mutable_initializer()->set_value(value);
  parameter.mutable_initializer()->set_scale(scale);
  return parameter;
}

template <typename T>
std::vector<T> Values(const proto::PlannedParameter& parameter, uint64_t seed = 1) {
  absl::StatusOr<std::string> bytes = InitialValues(parameter, seed);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  if (!bytes.ok()) return {};
  std::vector<T> values(bytes->size() / sizeof(T));
  std::memcpy(values.data(), bytes->data(), bytes->size());
  return values;
}

TEST(Initialize, Constants) {
  EXPECT_EQ(Values<float>(Parameter(Initializer::ZEROS, proto::F32, {2, 2})), std::vector<float>(4, 0.0f));
  EXPECT_EQ(Values<double>(Parameter(Initializer::ONES, proto::F64, {3})), std::vector<double>(3, 1.0));
  EXPECT_EQ(Values<uint16_t>(Parameter(Initializer::CONSTANT, proto::BF16, {2}, 1.5)),
            std::vector<uint16_t>(2, 0x3fc0));
  EXPECT_EQ(Values<int64_t>(Parameter(Initializer::CONSTANT, proto::I64, {}, -7)), std::vector<int64_t>(1, -7));
}

TEST(Initialize, IotaCountsAlongTheLastDimension) {
  EXPECT_EQ(Values<int64_t>(Parameter(Initializer::IOTA, proto::I64, {2, 3})),
            (std::vector<int64_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(Values<float>(Parameter(Initializer::IOTA, proto::F32, {3})), (std::vector<float>{0, 1, 2}));
}

TEST(Initialize, NormalHasItsMoments) {
  const std::vector<double> x = Values<double>(Parameter(Initializer::NORMAL, proto::F64, {200001}, 3, 0.5));
  ASSERT_EQ(x.size(), 200001u);
  double mean = 0, variance = 0, fourth = 0;
  for (double v : x) mean += v / x.size();
  for (double v : x) variance += (v - mean) * (v - mean) / x.size();
  for (double v : x) fourth += std::pow(v - mean, 4) / x.size();
  EXPECT_NEAR(mean, 3, 0.005);
  EXPECT_NEAR(std::sqrt(variance), 0.5, 0.005);
  EXPECT_NEAR(fourth / (variance * variance), 3, 0.1);
  double neighbours = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) neighbours += (x[i] - mean) * (x[i + 1] - mean) / x.size();
  EXPECT_NEAR(neighbours / variance, 0, 0.01);
}

TEST(Initialize, UniformStaysInItsRange) {
  const std::vector<float> x = Values<float>(Parameter(Initializer::UNIFORM, proto::F32, {100000}, 1, 2));
  double mean = 0, least = 9, most = -9;
  for (float v : x) {
    mean += v / x.size();
    least = std::min<double>(least, v);
    most = std::max<double>(most, v);
  }
  EXPECT_GE(least, -1);
  EXPECT_LT(most, 3);
  EXPECT_NEAR(least, -1, 0.001);
  EXPECT_NEAR(most, 3, 0.001);
  EXPECT_NEAR(mean, 1, 0.02);
}

TEST(Initialize, DependsOnSeedAndNameAlone) {
  const auto parameter = Parameter(Initializer::NORMAL, proto::F32, {7});
  EXPECT_EQ(Values<float>(parameter), Values<float>(parameter));
  EXPECT_NE(Values<float>(parameter, 1), Values<float>(parameter, 2));
  EXPECT_NE(Values<float>(parameter), Values<float>(Parameter(Initializer::NORMAL, proto::F32, {7}, 0, 1, "v")));
  // A longer tensor begins like a shorter one, in every type.
  const std::vector<float> more = Values<float>(Parameter(Initializer::NORMAL, proto::F32, {3, 5}));
  EXPECT_EQ(std::vector<float>(more.begin(), more.begin() + 7), Values<float>(parameter));
  const std::vector<double> wide = Values<double>(Parameter(Initializer::NORMAL, proto::F64, {7}));
  const std::vector<uint16_t> narrow = Values<uint16_t>(Parameter(Initializer::NORMAL, proto::BF16, {7}));
  for (int i = 0; i < 7; ++i) {
    EXPECT_NEAR(wide[i], more[i], 1e-5);
    EXPECT_EQ(BFloat16(more[i]).bits, narrow[i]);
  }
}

TEST(Initialize, RotaryTables) {
  const std::vector<double> cosines = Values<double>(Parameter(Initializer::ROTARY_COS, proto::F64, {6, 4}, 10000));
  const std::vector<double> sines = Values<double>(Parameter(Initializer::ROTARY_SIN, proto::F64, {6, 4}, 10000));
  for (int t = 0; t < 6; ++t) {
    for (int i = 0; i < 4; ++i) {
      const double angle = t / std::pow(10000.0, 2.0 * i / 8);
      EXPECT_NEAR(cosines[t * 4 + i], std::cos(angle), 1e-14);
      EXPECT_NEAR(sines[t * 4 + i], std::sin(angle), 1e-14);
    }
  }
}

TEST(Initialize, Data) {
  auto parameter = Parameter(Initializer::DATA, proto::F32, {2});
  const float values[] = {1.25f, -2};
  parameter.mutable_initializer()->set_data(values, sizeof(values));
  EXPECT_EQ(Values<float>(parameter), (std::vector<float>{1.25f, -2}));
  parameter.mutable_initializer()->mutable_data()->push_back('x');
  EXPECT_THAT(std::string(InitialValues(parameter, 0).status().message()),
              testing::HasSubstr("9 bytes of data, not 8"));
}

TEST(Initialize, RefusesWhatMakesNoSense) {
  auto code = [](const proto::PlannedParameter& parameter) { return InitialValues(parameter, 0).status().code(); };
  EXPECT_EQ(code(Parameter(Initializer::KIND_UNSPECIFIED, proto::F32, {2})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Parameter(Initializer::NORMAL, proto::I64, {2})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Parameter(Initializer::ROTARY_COS, proto::F32, {2})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Parameter(Initializer::ZEROS, proto::U8, {2})), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code(Parameter(Initializer::ZEROS, proto::F32, {-1})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Parameter(Initializer::CONSTANT, proto::I64, {1}, 1e30)), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
