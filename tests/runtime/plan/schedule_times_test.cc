// The clock of bare action lists against closed forms (schedule formulas of the GPipe, DAPPLE, Megatron-LM and Zero
// Bubble papers) and against what must hold of any schedule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "runtime/plan/schedule.h"
#include "tests/runtime/plan/paper_schedules.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kF = 2, kB = 1.75, kW = 1.5, kT = kF + kB + kW;  // sums of quarters are exact

ScheduleSimulation Simulated(const Schedule& schedule, const ScheduleCosts& costs) {
  EXPECT_EQ(VerifySchedule(schedule), absl::OkStatus());
  auto simulation = SimulateSchedule(schedule, costs);
  EXPECT_EQ(simulation.status(), absl::OkStatus());
  return *std::move(simulation);
}

ScheduleSimulation Equal(const Schedule& schedule, int chunks, double communication) {
  return Simulated(schedule,
                   ScheduleCosts::Uniform(schedule.stages, kF / chunks, kB / chunks, kW / chunks, communication));
}

TEST(SimulateSchedule, ClosedFormsWithoutLatency) {
  for (int p = 1; p <= 16; ++p) {
    for (int m : {1, 2, 3, 7, 16, 33, 64}) {
      for (const Schedule& schedule : {PaperGPipe(p, m), Paper1F1B(p, m)}) {
        const ScheduleSimulation s = Equal(schedule, 1, 0);
        EXPECT_EQ(s.longest_span, (m + p - 1) * kT);
        EXPECT_EQ(s.makespan, (m + p - 1) * kT);
        EXPECT_NEAR(s.bubble_rate, (p - 1.0) / (m + p - 1), 1e-12);
        EXPECT_NEAR(s.bubble_over_ideal, (p - 1.0) / m, 1e-12);
      }
      if (m >= p) {
        EXPECT_EQ(Equal(PaperZbH1(p, m), 1, 0).longest_span, m * kT + (p - 1) * (kF + kB - kW));
      }
    }
  }
}

TEST(SimulateSchedule, OneForwardOneBackwardWithLatency) {
  for (int p = 2; p <= 16; ++p) {
    for (int m = p; m <= 64; m += 1 + m / 8) {
      for (double c : {0.125, 0.5, 1.0}) {  // at most min(TF, TB + TW) / 2
        const int q = m / p, r = m % p, x = r == 0 ? 0 : std::max(r - 1, 1);
        EXPECT_EQ(Equal(Paper1F1B(p, m), 1, c).longest_span, (m + p - 1) * kT + 2 * c * ((p - 1) * q + p - 2 + x))
            << p << " " << m << " " << c;
      }
    }
  }
}

TEST(SimulateSchedule, GPipeWithLatency) {
  for (int p = 1; p <= 16; ++p) {
    for (int m : {1, 5, 32}) {
      EXPECT_EQ(Equal(PaperGPipe(p, m), 1, 0.5).longest_span, (m + p - 1) * kT + (p - 1) * 2 * 0.5);
    }
  }
}

TEST(SimulateSchedule, InterleavedAndZbH1WithLatency) {
  for (int p = 2; p <= 8; ++p) {
    for (int v : {2, 4}) {
      const int m = 4 * p;
      EXPECT_NEAR(Equal(PaperInterleaved(p, v, m), v, 0.125).longest_span,
                  m * kT + (p - 1) * kT / v + 2 * 0.125 * (v * p - 1), 1e-9);
    }
    const int m = 2 * p - 1;
    EXPECT_EQ(Equal(PaperZbH1(p, m), 1, 0.25).longest_span, m * kT + (p - 1) * (kF + kB - kW) + 4 * (p - 1) * 0.25);
  }
}

TEST(SimulateSchedule, MicroBatchesInFlightAndMemory) {
  EXPECT_THAT(Equal(PaperGPipe(4, 6), 1, 0).peak_in_flight, ElementsAre(6, 6, 6, 6));
  EXPECT_THAT(Equal(Paper1F1B(4, 6), 1, 0).peak_in_flight, ElementsAre(4, 3, 2, 1));
  EXPECT_THAT(Equal(Paper1F1B(4, 2), 1, 0).peak_in_flight, ElementsAre(2, 2, 2, 1));
  EXPECT_THAT(Equal(Paper1F1B(4, 6), 1, 0).peak_memory, ElementsAre(4, 3, 2, 1));
  // (p - i + 1) MB + (i - 1) MW with MW = MB / 2.
  EXPECT_THAT(Equal(PaperZbH1(4, 8), 1, 0).peak_memory, ElementsAre(4, 3.5, 3, 2.5));
  ScheduleCosts costs = ScheduleCosts::Uniform(2, 1, 1, 1, 0);
  costs.stash = {10, 20};
  costs.weight_stash = {10, 0};
  EXPECT_THAT(Simulated(PaperZbH1(2, 4), costs).peak_memory, ElementsAre(20, 20));
}

TEST(SimulateSchedule, MemoryOverTime) {
  const Schedule schedule = Schedule::ParseCsv("0F0,0B0,0W0\n").value();
  const ScheduleSimulation s = Simulated(schedule, ScheduleCosts::Uniform(1, 1, 2, 3, 0));
  using Curve = std::vector<std::pair<double, double>>;
  EXPECT_EQ(s.memory, std::vector<Curve>{(Curve{{0, 1}, {3, 0.5}, {6, 0}})});
}

TEST(SimulateSchedule, RecomputeHoldsOnlyFromR) {
  const Schedule schedule = Schedule::ParseCsv("0F0,0F1,0R0,0BW0,0R1,0BW1\n").value();
  ScheduleCosts costs = ScheduleCosts::Uniform(1, 1, 1, 1, 0);
  ScheduleSimulation s = Simulated(schedule, costs);
  EXPECT_THAT(s.peak_memory, ElementsAre(1));
  EXPECT_EQ(s.makespan, 8);  // R as F
  costs.recompute = {0.5};
  EXPECT_EQ(Simulated(schedule, costs).makespan, 7);
}

TEST(SimulateSchedule, IdleAndBusy) {
  const ScheduleSimulation s = Equal(PaperGPipe(2, 1), 1, 0.25);
  EXPECT_THAT(s.busy, ElementsAre(kT, kT));
  EXPECT_EQ(s.idle[0].data, kT + 0.25);  // until rank 1 has made the gradient
  EXPECT_EQ(s.idle[0].link, 0.25);
  EXPECT_EQ(s.idle[1].before_first, kF + 0.25);
  EXPECT_EQ(s.idle[1].data + s.idle[1].link + s.idle[0].slot + s.idle[1].slot, 0);
  EXPECT_EQ(s.idle[0].after_last, 0);
  EXPECT_EQ(s.idle[1].after_last, kB + kW + 0.25);
  EXPECT_EQ(s.ranks[1][0].start, kF + 0.25);
}

TEST(SimulateSchedule, StagesOfOneRankHandOverAtOnce) {
  const Schedule schedule = Schedule::ParseCsv("0F0,1F0,1BW0,0BW0\n").value();
  EXPECT_EQ(Simulated(schedule, ScheduleCosts::Uniform(2, 1, 1, 1, 100)).makespan, 6);
}

TEST(SimulateSchedule, EdgesAndStagesHaveTheirOwnCosts) {
  ScheduleCosts costs = ScheduleCosts::Uniform(3, 1, 1, 1, 0);
  costs.forward = {1, 2, 4};
  costs.communication = {8, 16, 1000};
  const ScheduleSimulation s = Simulated(PaperGPipe(3, 1), costs);
  EXPECT_EQ(s.makespan, 1 + 8 + 2 + 16 + 4 + 2 + 16 + 2 + 8 + 2);
  EXPECT_EQ(s.critical_path.size(), 6u + 4u);  // actions and transfers
}

TEST(SimulateSchedule, AnyCostsKeepTheBounds) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> time(0, 3);
  for (int round = 0; round < 400; ++round) {
    const int p = 1 + random() % 6, m = p * (1 + random() % 4), v = 1 + random() % 3;
    const Schedule schedule = round % 2 == 0 ? PaperInterleaved(p, v, m) : PaperZbH1(p, m);
    ScheduleCosts costs = ScheduleCosts::Uniform(schedule.stages, 0, 0, 0, 0);
    for (int s = 0; s < schedule.stages; ++s) {
      costs.forward[s] = time(random);
      costs.backward_input[s] = time(random);
      costs.backward_weight[s] = time(random);
      costs.communication[s] = time(random) / 4;
    }
    const ScheduleSimulation s = Simulated(schedule, costs);
    for (double busy : s.busy) EXPECT_GE(s.longest_span, busy - 1e-9);
    EXPECT_EQ(s.critical_path.front().start, 0);
    EXPECT_EQ(s.critical_path.back().end, s.makespan);
    for (size_t i = 1; i < s.critical_path.size(); ++i) {
      EXPECT_EQ(s.critical_path[i].start, s.critical_path[i - 1].end);
      if (!s.critical_path[i].transfer) continue;
      EXPECT_EQ(s.critical_path[i].action, s.critical_path[i - 1].action);
      EXPECT_FALSE(s.critical_path[i - 1].transfer);
    }
    for (size_t rank = 0; rank < s.ranks.size(); ++rank) {
      for (size_t i = 0; i < s.ranks[rank].size(); ++i) {
        EXPECT_EQ(s.ranks[rank][i].action, schedule.ranks[rank][i]);
        EXPECT_GE(s.ranks[rank][i].start, i > 0 ? s.ranks[rank][i - 1].end : 0);
      }
    }
  }
}

TEST(SimulateSchedule, TakesTheLargest) {
  const ScheduleSimulation s = Simulated(PaperInterleaved(64, 4, 512), ScheduleCosts::Uniform(256, 1, 1, 1, 0));
  EXPECT_EQ(s.longest_span, 4 * 512 * 3 + 63 * 3);
}

TEST(SimulateSchedule, RefusesCostsThatMakeNoSense) {
  const Schedule schedule = PaperGPipe(2, 2);
  const auto refusal = [&](auto change) {
    ScheduleCosts costs = ScheduleCosts::Uniform(2, 1, 1, 1, 0);
    change(costs);
    const auto simulation = SimulateSchedule(schedule, costs);
    EXPECT_EQ(simulation.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(simulation.status().message());
  };
  EXPECT_THAT(refusal([](auto& c) { c.forward.pop_back(); }), HasSubstr("1 values of forward for 2 stages"));
  EXPECT_THAT(refusal([](auto& c) { c.backward_input[1] = -1; }), HasSubstr("backward_input of stage 1"));
  EXPECT_THAT(refusal([](auto& c) { c.backward_weight[0] = NAN; }), HasSubstr("backward_weight of stage 0"));
  EXPECT_THAT(refusal([](auto& c) { c.communication = {}; }), HasSubstr("communication"));
  EXPECT_THAT(refusal([](auto& c) { c.communication[0] = std::numeric_limits<double>::infinity(); }),
              HasSubstr("communication of stage 0"));
  EXPECT_THAT(refusal([](auto& c) { c.recompute = {1}; }), HasSubstr("recompute"));
  EXPECT_THAT(refusal([](auto& c) { c.stash = {1, -1}; }), HasSubstr("stash of stage 1"));
  EXPECT_THAT(refusal([](auto& c) { c.weight_stash = {1}; }), HasSubstr("weight_stash"));
}

TEST(SimulateSchedule, RefusesADeadlock) {
  const Schedule schedule = Schedule::ParseCsv("0F0,1F0,0BW0,1BW0\n").value();
  EXPECT_FALSE(SimulateSchedule(schedule, ScheduleCosts::Uniform(2, 1, 1, 1, 0)).ok());
}

}  // namespace
}  // namespace millrace
