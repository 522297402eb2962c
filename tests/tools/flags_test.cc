#include "tools/cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Flags {
  int64_t layers = 12;
  uint64_t steps = 5;
  double rate = 0.5;
  std::string out;
  std::vector<std::string> names;
  bool quiet = false;
  FlagSet set;

  Flags() {
    set.Int("layers", &layers, "blocks");
    set.Uint("micro-steps", &steps, "steps");
    set.Double("rate", &rate, "a rate");
    set.String("out", &out, "a file");
    set.Strings("names", &names, "some names");
    set.Bool("quiet", &quiet, "say less");
  }
  std::string ErrorOf(const std::vector<std::string>& arguments) {
    return std::string(set.Parse(arguments).message());
  }
};

TEST(FlagSet, ParsesEveryKindInBothForms) {
  Flags f;
  ASSERT_TRUE(f.set.Parse({"--layers=-3", "in.pb", "--micro_steps", "7", "--rate=1e-3", "--names=a,b", "--quiet", "--",
                           "--not-a-flag"})
                  .ok());
  EXPECT_EQ(f.layers, -3);
  EXPECT_EQ(f.steps, 7u);
  EXPECT_EQ(f.rate, 1e-3);
  EXPECT_THAT(f.names, ElementsAre("a", "b"));
  EXPECT_TRUE(f.quiet);
  EXPECT_THAT(f.set.positional(), ElementsAre("in.pb", "--not-a-flag"));
  EXPECT_TRUE(f.set.WasGiven("layers"));
  EXPECT_FALSE(f.set.WasGiven("out"));
}

TEST(FlagSet, NoPrefixNegates) {
  Flags f;
  f.quiet = true;
  ASSERT_TRUE(f.set.Parse({"--no-quiet"}).ok());
  EXPECT_FALSE(f.quiet);
  EXPECT_THAT(f.ErrorOf({"--no-layers"}), HasSubstr("unknown flag --no-layers"));
}

TEST(FlagSet, NamesTheNearestFlag) {
  Flags f;
  EXPECT_THAT(f.ErrorOf({"--layer=3"}), HasSubstr("did you mean --layers?"));
  EXPECT_THAT(f.ErrorOf({"--zzzzzzzzz"}), ::testing::Not(HasSubstr("did you mean")));
}

TEST(FlagSet, RefusesBadValues) {
  Flags f;
  EXPECT_THAT(f.ErrorOf({"--layers=four"}), HasSubstr("--layers=four"));
  EXPECT_THAT(f.ErrorOf({"--layers=99999999999999999999"}), HasSubstr("whole number"));
  EXPECT_THAT(f.ErrorOf({"--micro-steps=-1"}), HasSubstr("0 or more"));
  EXPECT_THAT(f.ErrorOf({"--rate=nan"}), HasSubstr("finite"));
  EXPECT_THAT(f.ErrorOf({"--rate=1e400"}), HasSubstr("finite"));
  EXPECT_THAT(f.ErrorOf({"--quiet=maybe"}), HasSubstr("true or false"));
  EXPECT_THAT(f.ErrorOf({"--out"}), HasSubstr("needs a value"));
  EXPECT_THAT(f.ErrorOf({"-x"}), HasSubstr("two dashes"));
}

TEST(FlagSet, HelpShowsDefaults) {
  Flags f;
  EXPECT_THAT(f.set.Help(), HasSubstr("--layers       blocks [12]"));
}

}  // namespace
}  // namespace millrace
