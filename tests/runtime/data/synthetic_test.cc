#include "runtime/data/synthetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace millrace {
namespace {

proto::Input Input(proto::Input::Role role, proto::DataType dtype, std::vector<int64_t> dims) {
  proto::Input input;
  input.set_name(proto::Input::Role_Name(role));
  input.set_role(role);
  input.mutable_type()->set_dtype(dtype);
  for (int64_t dim : dims) input.mutable_type()->add_dims(dim);
  return input;
}

TEST(Synthetic, TokensFollowAPatternThatCanBeLearned) {
  const auto tokens = Input(proto::Input::TOKENS, proto::I64, {-1, 32});
  const auto labels = Input(proto::Input::LABELS, proto::I64, {-1, 32});
  const auto source = MakeSynthetic({.inputs = {tokens, labels}, .vocabulary = 50257, .seed = 3});
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<int64_t> x(100 * 32), y(100 * 32);
  ASSERT_TRUE((*source)->Fetch(tokens, 5, 100, x.data(), x.size() * 8).ok());
  ASSERT_TRUE((*source)->Fetch(labels, 5, 100, y.data(), y.size() * 8).ok());
  std::map<std::pair<int64_t, int64_t>, int> pairs;
  std::map<int64_t, int> most;
  for (int i = 0; i < 3200; ++i) {
    ASSERT_GE(y[i], 0);
    ASSERT_LT(y[i], (*source)->vocabulary());
    if (i % 32 != 31) {
      ASSERT_EQ(y[i], x[i + 1]);
    }
    most[x[i]] = std::max(most[x[i]], ++pairs[{x[i], y[i]}]);
  }
  int predictable = 0;
  for (const auto& [token, count] : most) predictable += count;
  EXPECT_NEAR(predictable / 3200.0, 0.9, 0.04);
  // A sample is a function of its index alone.
  std::vector<int64_t> again(32);
  ASSERT_TRUE((*source)->Fetch(tokens, 50, 1, again.data(), 256).ok());
  EXPECT_EQ(again, std::vector<int64_t>(x.begin() + 45 * 32, x.begin() + 46 * 32));
}

TEST(Synthetic, ClassesDependOnFeatures) {
  const auto features = Input(proto::Input::FEATURES, proto::F32, {-1, 8});
  const auto labels = Input(proto::Input::LABELS, proto::I64, {-1});
  for (bool validation : {false, true}) {
    const auto source =
        MakeSynthetic({.inputs = {features, labels}, .vocabulary = 4, .seed = 3, .validation = validation});
    ASSERT_TRUE(source.ok()) << source.status();
    std::vector<float> x(500 * 8);
    std::vector<int64_t> y(500);
    ASSERT_TRUE((*source)->Fetch(features, 0, 500, x.data(), x.size() * 4).ok());
    ASSERT_TRUE((*source)->Fetch(labels, 0, 500, y.data(), y.size() * 8).ok());
    std::map<int64_t, int> counts;
    for (int64_t label : y) ++counts[label];
    EXPECT_GE(counts.size(), 3u);
    for (float value : x) ASSERT_LE(std::abs(value), 1.0f);
  }
}

TEST(Synthetic, TrainAndValidationDiffer) {
  const auto tokens = Input(proto::Input::TOKENS, proto::I64, {-1, 64});
  std::vector<int64_t> a(64), b(64);
  const auto train = MakeSynthetic({.inputs = {tokens}, .vocabulary = 64, .seed = 3});
  const auto held_out = MakeSynthetic({.inputs = {tokens}, .vocabulary = 64, .seed = 3, .validation = true});
  ASSERT_TRUE(train.ok() && held_out.ok());
  ASSERT_TRUE((*train)->Fetch(tokens, 0, 1, a.data(), 512).ok());
  ASSERT_TRUE((*held_out)->Fetch(tokens, 0, 1, b.data(), 512).ok());
  EXPECT_NE(a, b);
}

TEST(Synthetic, RefusesInputsItCannotFill) {
  EXPECT_FALSE(MakeSynthetic({.inputs = {Input(proto::Input::TOKENS, proto::F32, {-1, 4})}, .vocabulary = 4}).ok());
  EXPECT_FALSE(MakeSynthetic({.inputs = {Input(proto::Input::FEATURES, proto::I64, {-1, 4})}, .vocabulary = 4}).ok());
  EXPECT_FALSE(MakeSynthetic({.inputs = {Input(proto::Input::FEATURES, proto::F32, {-1, -1})}, .vocabulary = 4}).ok());
  EXPECT_FALSE(MakeSynthetic({.inputs = {Input(proto::Input::FEATURES, proto::F32, {-1, int64_t{1} << 40})}}).ok());
  EXPECT_FALSE(MakeSynthetic({.inputs = {Input(proto::Input::TOKENS, proto::I64, {-1, 4}),
                                         Input(proto::Input::LABELS, proto::I64, {-1, 5})},
                              .vocabulary = 4})
                   .ok());
}

}  // namespace
}  // namespace millrace
