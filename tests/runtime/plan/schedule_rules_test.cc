// The clock with any costs, wires and slots against its rules, checked by brute force.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "runtime/plan/schedule.h"
#include "tests/runtime/plan/paper_schedules.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using Wire = ScheduleResources::Wire;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// By brute force from the rules as they stand in the header: what overlaps on a wire, who holds slots when.
void ExpectRulesKept(const ScheduleSimulation& s, const ScheduleCosts& costs, const ScheduleResources& resources) {
  const auto edge = [](const TimedTransfer& t) {
    return t.maker.phase == proto::F ? t.maker.stage : t.maker.stage - 1;
  };
  const auto share = [&](const TimedTransfer& a, const TimedTransfer& b) {
    if (!resources.wire_of_edge.empty()) return resources.wire_of_edge[edge(a)] == resources.wire_of_edge[edge(b)];
    switch (resources.wire) {
      case Wire::kDirection:
        return a.from == b.from && a.to == b.to;
      case Wire::kPair:
        return std::min(a.from, a.to) == std::min(b.from, b.to) && std::max(a.from, a.to) == std::max(b.from, b.to);
      case Wire::kPort:
        return a.from == b.from || a.to == b.to;
      case Wire::kRank:
        return a.from == b.from || a.to == b.to || a.from == b.to || a.to == b.from;
      case Wire::kShared:
        return true;
    }
    return true;
  };
  for (size_t i = 0; i < s.transfers.size(); ++i) {
    const TimedTransfer& t = s.transfers[i];
    EXPECT_LE(t.made, t.admitted);
    EXPECT_LE(t.admitted, t.begun);
    EXPECT_NEAR(t.left - t.begun, resources.transfer_bytes[edge(t)] / resources.bandwidth[edge(t)], 1e-9);
    EXPECT_NEAR(t.arrived - t.left, costs.communication[edge(t)], 1e-9);
    double free = t.admitted;
    for (size_t j = 0; j < i; ++j) {
      if (!share(t, s.transfers[j])) continue;
      EXPECT_GE(t.begun, s.transfers[j].left);
      EXPECT_LE(s.transfers[j].admitted, t.admitted);
      free = std::max(free, s.transfers[j].left);
    }
    EXPECT_EQ(t.begun, free);  // no wire idles while a transfer could go
  }
  for (size_t rank = 0; rank < s.ranks.size(); ++rank) {
    const ScheduleIdle& idle = s.idle[rank];
    const double span = s.ranks[rank].back().end - s.ranks[rank].front().start;
    EXPECT_NEAR(s.busy[rank] + idle.data + idle.link + idle.slot, span, 1e-9);
    EXPECT_NEAR(span + idle.before_first + idle.after_last, s.makespan, 1e-9);
    EXPECT_GE(std::min({idle.before_first, idle.data, idle.link, idle.slot, idle.after_last}), 0);
  }
  EXPECT_EQ(s.critical_path.front().start, 0);
  EXPECT_EQ(s.critical_path.back().end, s.makespan);
  for (size_t i = 1; i < s.critical_path.size(); ++i) {
    EXPECT_EQ(s.critical_path[i].start, s.critical_path[i - 1].end);
  }
}

// The most of a stage's micro-batches, received tensors or made ones that are there at once.
int MostAtOnce(std::vector<std::pair<double, int>> changes) {
  std::sort(changes.begin(), changes.end());  // what is given back goes first
  int now = 0, most = 0;
  for (const auto& [time, change] : changes) most = std::max(most, now += change);
  return most;
}

void ExpectSlotsKept(const Schedule& schedule, const ScheduleSimulation& s, const ScheduleResources& resources) {
  for (int stage = 0; stage < schedule.stages; ++stage) {
    std::vector<std::pair<double, int>> stash, receive[2], send[2];
    for (const TimedAction& timed : s.ranks[schedule.rank_of_stage[stage]]) {
      const Action& a = timed.action;
      if (a.stage != stage) continue;
      if (a.phase == proto::F) stash.push_back({timed.start, 1});
      if (a.phase == proto::W || a.phase == proto::BW) stash.push_back({timed.end, -1});
      if (a.phase == proto::W) continue;
      const int direction = a.phase != proto::F;
      for (const TimedTransfer& t : s.transfers) {
        if ((t.maker.phase != proto::F) != direction || t.maker.micro_batch != a.micro_batch) continue;
        if (t.maker.stage == stage) {
          send[direction].push_back({timed.start, 1});
          send[direction].push_back({t.left, -1});
        }
        if (t.maker.stage == stage + (direction == 0 ? -1 : 1)) {
          receive[direction].push_back({t.admitted, 1});
          receive[direction].push_back({timed.end, -1});
        }
      }
    }
    if (!resources.stash_slots.empty()) {
      EXPECT_LE(MostAtOnce(stash), resources.stash_slots[stage]);
    }
    for (int direction : {0, 1}) {
      if (!resources.receive_slots.empty()) {
        EXPECT_LE(MostAtOnce(receive[direction]), resources.receive_slots[stage]);
      }
      if (!resources.send_slots.empty()) {
        EXPECT_LE(MostAtOnce(send[direction]), resources.send_slots[stage]);
      }
    }
  }
}

TEST(ScheduleRules, AnyCostsAndResourcesKeepTheRules) {
  std::mt19937 random(3);
  const auto below = [&random](int n) { return static_cast<int>(random() % n); };
  int deadlocks = 0, slot_waits = 0;
  for (int round = 0; round < 3000; ++round) {
    const int p = 1 + below(5), m = p * (1 + below(3)), v = 1 + below(2);
    const Schedule schedule = round % 3 == 0   ? PaperInterleaved(p, v, m)
                              : round % 3 == 1 ? PaperZbH1(p, m)
                                               : Paper1F1B(p, m);
    ScheduleCosts costs = ScheduleCosts::Uniform(schedule.stages, 0, 0, 0, 0);
    ScheduleResources resources;
    for (int s = 0; s < schedule.stages; ++s) {
      costs.forward[s] = 0.25 + below(12) * 0.25;
      costs.backward_input[s] = 0.25 + below(12) * 0.25;
      costs.backward_weight[s] = 0.25 + below(12) * 0.25;
      costs.communication[s] = below(4) * 0.25;
      resources.transfer_bytes.push_back(below(5));
      resources.bandwidth.push_back(below(5) == 0 ? kInfinity : 1 + below(4));
      resources.wire_of_edge.push_back(below(2));
    }
    resources.wire = static_cast<Wire>(below(5));
    if (below(4) != 0) resources.wire_of_edge.clear();
    const auto slots = [&](int most) { return std::vector<int>(schedule.stages, 1 + below(most)); };
    if (below(3) == 0) resources.stash_slots = slots(2 * p);
    if (below(2) == 0) resources.receive_slots = slots(3);
    if (below(2) == 0) resources.send_slots = slots(3);
    const auto simulation = SimulateSchedule(schedule, costs, resources);
    if (!simulation.ok()) {
      ASSERT_THAT(std::string(simulation.status().message()), HasSubstr("rule deadlock"));
      ++deadlocks;
      continue;
    }
    ExpectRulesKept(*simulation, costs, resources);
    ExpectSlotsKept(schedule, *simulation, resources);
    // Limits can only delay.
    const ScheduleSimulation free = SimulateSchedule(schedule, costs).value();
    for (int rank = 0; rank < p; ++rank) {
      for (size_t i = 0; i < free.ranks[rank].size(); ++i) {
        EXPECT_GE(simulation->ranks[rank][i].start, free.ranks[rank][i].start);
      }
      slot_waits += simulation->idle[rank].slot > 0;
    }
    if (HasFailure()) {
      ADD_FAILURE() << "round " << round << "\n" << schedule.ToCsv();
      break;
    }
  }
  EXPECT_GT(deadlocks, 50);
  EXPECT_LT(deadlocks, 2000);
  EXPECT_GT(slot_waits, 50);
}

}  // namespace
}  // namespace millrace
