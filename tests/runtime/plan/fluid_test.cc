// Processor sharing against times worked out by hand.
#include "runtime/plan/fluid.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

using testing::ElementsAre;

std::vector<int> EndAt(Fluid* fluid, double when) {
  EXPECT_NEAR(fluid->NextEnd(), when, 1e-9);
  std::vector<int> ids;
  fluid->End(fluid->NextEnd(), &ids);
  return ids;
}

TEST(Fluid, OneJobTakesItsTime) {
  Fluid fluid(2, 2);
  EXPECT_TRUE(std::isinf(fluid.NextEnd()));
  fluid.Add(1, {.id = 7, .alone = 3, .shared = 5});
  EXPECT_THAT(EndAt(&fluid, 4), ElementsAre(7));
  EXPECT_TRUE(std::isinf(fluid.NextEnd()));
}

// Two jobs on two cores: both at their shared speed while both are there.
TEST(Fluid, AnotherBusyCoreSlowsDown) {
  Fluid fluid(2, 2);
  fluid.Add(0, {.id = 0, .alone = 3, .shared = 6});
  fluid.Add(2, {.id = 1, .alone = 4, .shared = 8});
  // At 2 job 0 has a third left: 2 s at the shared speed. Job 1 has then done a quarter; 3 s are left of it, alone.
  EXPECT_THAT(EndAt(&fluid, 4), ElementsAre(0));
  EXPECT_THAT(EndAt(&fluid, 7), ElementsAre(1));
}

// Half of the other cores are busy: half the way from alone to shared.
TEST(Fluid, SpeedFollowsHowManyAreBusy) {
  Fluid fluid(3, 3);
  fluid.Add(0, {.id = 0, .alone = 2, .shared = 4});
  fluid.Add(0, {.id = 1, .alone = 2, .shared = 4});
  EXPECT_THAT(EndAt(&fluid, 3), ElementsAre(0, 1));
}

// Four jobs of one thread on two cores: each at half speed, besides the shared one.
TEST(Fluid, MoreThreadsThanCores) {
  Fluid fluid(2, 2);
  for (int id = 0; id < 3; ++id) fluid.Add(0, {.id = id, .alone = 1, .shared = 1.5});
  fluid.Add(0, {.id = 3, .alone = 2, .shared = 3});
  // Rate 1/2 of the shared one: three end at 3; the last has half left, then alone on its core: 1 s.
  EXPECT_THAT(EndAt(&fluid, 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(EndAt(&fluid, 4), ElementsAre(3));
}

TEST(Fluid, ThreadsCountNotJobs) {
  Fluid fluid(2, 2);
  fluid.Add(0, {.id = 0, .threads = 2, .alone = 1, .shared = 9});
  EXPECT_THAT(EndAt(&fluid, 1), ElementsAre(0));  // its own threads are no company
  fluid.Add(1, {.id = 1, .threads = 2, .alone = 1, .shared = 1});
  fluid.Add(1, {.id = 2, .threads = 2, .alone = 1, .shared = 1});
  EXPECT_THAT(EndAt(&fluid, 3), ElementsAre(1, 2));
}

}  // namespace
}  // namespace millrace
