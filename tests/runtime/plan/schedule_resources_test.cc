// The clock with bandwidth, shared wires and slots: cases worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "runtime/plan/schedule.h"
#include "tests/runtime/plan/paper_schedules.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Wire = ScheduleResources::Wire;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Schedule Parse(const char* csv) { return Schedule::ParseCsv(csv).value(); }

ScheduleSimulation Simulated(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources) {
  EXPECT_EQ(VerifySchedule(schedule), absl::OkStatus());
  auto simulation = SimulateSchedule(schedule, costs, resources);
  EXPECT_EQ(simulation.status(), absl::OkStatus());
  return *std::move(simulation);
}

// Each transfer keeps its wires busy for `busy`.
ScheduleResources Busy(int stages, double busy, Wire wire = Wire::kDirection) {
  ScheduleResources resources;
  resources.transfer_bytes.assign(stages, busy * 8);
  resources.bandwidth.assign(stages, 8);
  resources.wire = wire;
  return resources;
}

const TimedTransfer& Find(const ScheduleSimulation& simulation, const std::string& name) {
  for (const TimedTransfer& transfer : simulation.transfers) {
    if (transfer.Name() == name) return transfer;
  }
  ADD_FAILURE() << "no " << name;
  return simulation.transfers.front();
}

TEST(ScheduleResources, ATransferTakesLatencyAndBytesOverBandwidth) {
  const ScheduleSimulation s = Simulated(PaperGPipe(2, 1), ScheduleCosts::Uniform(2, 1, 2, 3, 0.5), Busy(2, 4));
  // F 1, wire 4, latency 1/2, F 1, BW 5, wire 4, latency 1/2, BW 5.
  EXPECT_EQ(s.makespan, 1 + 4.5 + 6 + 4.5 + 5);
  const TimedTransfer& forward = Find(s, "0SEND_F0");
  EXPECT_EQ(forward.made, 1);
  EXPECT_EQ(forward.begun, 1);
  EXPECT_EQ(forward.left, 5);
  EXPECT_EQ(forward.arrived, 5.5);
  EXPECT_EQ(Find(s, "1SEND_B0").from, 1);
  EXPECT_EQ(Find(s, "1SEND_B0").to, 0);
  EXPECT_EQ(s.idle[0].data, 4.5 + 6);  // until the gradient is made: its input's way is the maker's wait
  EXPECT_EQ(s.idle[0].link, 4.5);
}

TEST(ScheduleResources, TransfersQueueOnOneWire) {
  // F's of 1 make a tensor each unit of time, the wire takes 3 for each: they leave at 4, 7, 10 and arrive 1 later.
  const ScheduleSimulation s = Simulated(PaperGPipe(2, 3), ScheduleCosts::Uniform(2, 1, 1, 0, 1), Busy(2, 3));
  EXPECT_EQ(Find(s, "0SEND_F1").made, 2);
  EXPECT_EQ(Find(s, "0SEND_F1").begun, 4);
  EXPECT_EQ(Find(s, "0SEND_F2").begun, 7);
  EXPECT_EQ(Find(s, "0SEND_F2").arrived, 11);  // latency is not on the wire
  EXPECT_EQ(s.ranks[1][0].start, 5);
  EXPECT_EQ(s.ranks[1][1].start, 8);
  EXPECT_EQ(s.ranks[1][2].start, 11);
  EXPECT_EQ(s.idle[1].before_first, 5);
  EXPECT_EQ(s.idle[1].link, 2 + 2);
  EXPECT_EQ(s.idle[1].data, 0);
}

TEST(ScheduleResources, BothWaysShareAPairsWireButNotADirections) {
  // Rank 0 sends F1 at 4 (it has F's of 2); rank 1 sends the gradient of micro-batch 0 at 4 too.
  ScheduleCosts costs = ScheduleCosts::Uniform(2, 2, 1, 0, 0);
  costs.forward[1] = 0.5;
  costs.backward_input[1] = 0.5;
  const Schedule schedule = Parse("0F0,0F1,0BW0,0BW1\n1F0,1BW0,1F1,1BW1\n");
  const ScheduleSimulation apart = Simulated(schedule, costs, Busy(2, 1));
  EXPECT_EQ(Find(apart, "0SEND_F1").begun, 4);
  EXPECT_EQ(Find(apart, "1SEND_B0").begun, 4);
  EXPECT_EQ(apart.makespan, 8);  // F1 5, F 5.5, B 6, sent 7, BW1 8
  const ScheduleSimulation pair = Simulated(schedule, costs, Busy(2, 1, Wire::kPair));
  EXPECT_EQ(Find(pair, "0SEND_F1").begun, 4);  // at equal times the lower rank goes first
  EXPECT_EQ(Find(pair, "1SEND_B0").begun, 5);
  EXPECT_EQ(pair.ranks[0][2].start, 6);
  EXPECT_EQ(pair.idle[0].link, 2);
}

// Three ranks: rank 1 sends a gradient to rank 0 and an activation to rank 2 in the same stretch of time.
ScheduleSimulation Middle(Wire wire, const std::vector<int>& named = {}) {
  ScheduleCosts costs = ScheduleCosts::Uniform(3, 1, 1, 0, 0);
  ScheduleResources resources = Busy(3, 2, wire);
  resources.wire_of_edge = named;
  return Simulated(Parse("0F0,0F1,0BW0,0BW1\n1F0,1F1,1BW0,1BW1\n2F0,2BW0,2F1,2BW1\n"), costs, resources);
}

TEST(ScheduleResources, PortsRanksAndSharedWires) {
  // F0 leaves rank 0 at 3, F1 at 5; rank 1's are made at 4 and 6.
  const ScheduleSimulation direction = Middle(Wire::kDirection);
  EXPECT_EQ(Find(direction, "1SEND_F0").begun, 4);
  EXPECT_EQ(Find(direction, "1SEND_F1").begun, 6);
  // Each rank's sends one after the other: nothing changes here, gradients come later.
  const ScheduleSimulation port = Middle(Wire::kPort);
  EXPECT_EQ(Find(port, "1SEND_F1").begun, 6);
  // One stream per rank: rank 1 receives F1 from 3 to 5, so F0, made at 4, begins at 5.
  const ScheduleSimulation rank = Middle(Wire::kRank);
  EXPECT_EQ(Find(rank, "0SEND_F1").begun, 3);
  EXPECT_EQ(Find(rank, "1SEND_F0").begun, 5);
  EXPECT_EQ(Find(rank, "1SEND_F1").begun, 7);
  // One wire: F0 of rank 1 behind F1 of rank 0; then the gradient made at 9 and so on.
  const ScheduleSimulation shared = Middle(Wire::kShared);
  EXPECT_EQ(Find(shared, "1SEND_F0").begun, 5);
  // Named: the first two edges share one wire, which is what kShared does when there are no others.
  const ScheduleSimulation named = Middle(Wire::kDirection, {7, 7, 0});
  EXPECT_EQ(named.makespan, shared.makespan);
  // Apart, each way of an edge still shares its wire.
  EXPECT_EQ(Middle(Wire::kDirection, {1, 2, 0}).makespan, Middle(Wire::kPair).makespan);
}

TEST(ScheduleResources, APortWaitsForBothItsWires) {
  // Ranks 0 and 2 send to rank 1 in the same moment: its one inward port takes them one after the other.
  const Schedule schedule = Parse("0F0,0F1,0BW0,0BW1\n1F0,1F1,1BW0,1BW1\n2F0,2BW0,2F1,2BW1\n");
  ScheduleCosts costs = ScheduleCosts::Uniform(3, 1, 1, 0, 0);
  costs.forward[0] = 4;  // F1 of rank 0 ends at 8
  costs.forward[2] = 0.25;
  costs.backward_input[2] = 0.75;  // F0 of rank 2 from 7, the gradient at 8
  const ScheduleSimulation direction = Simulated(schedule, costs, Busy(3, 1));
  EXPECT_EQ(Find(direction, "0SEND_F1").begun, 8);
  EXPECT_EQ(Find(direction, "2SEND_B0").begun, 8);
  const ScheduleSimulation port = Simulated(schedule, costs, Busy(3, 1, Wire::kPort));
  EXPECT_EQ(Find(port, "0SEND_F1").begun, 8);
  EXPECT_EQ(Find(port, "2SEND_B0").begun, 9);
}

TEST(ScheduleResources, AnFWaitsForASendSlot) {
  ScheduleResources resources = Busy(2, 3);
  resources.send_slots = {1, 1};
  // F0 0-1, on the wire 1-4; F1 4-5, on the wire 5-8.
  const ScheduleSimulation s = Simulated(PaperGPipe(2, 2), ScheduleCosts::Uniform(2, 1, 1, 0, 0), resources);
  EXPECT_EQ(s.ranks[0][1].start, 4);
  EXPECT_EQ(s.idle[0].slot, 3);
  EXPECT_EQ(s.ranks[1][1].start, 8);
  EXPECT_EQ(s.idle[1].data, 0);  // F1 is made at 5, when rank 1's F0 (4-5) ends
  EXPECT_EQ(s.idle[1].link, 3);
}

TEST(ScheduleResources, ASendWaitsForTheReceiversSlot) {
  // Rank 1 is slow (F 10): its one slot is free again at 11, so F1 leaves then, F2 at 22, with latency 1.
  ScheduleCosts costs = ScheduleCosts::Uniform(2, 1, 1, 0, 1);
  costs.forward[1] = 10;
  ScheduleResources resources;
  resources.receive_slots = {1, 1};
  ScheduleSimulation s = Simulated(PaperGPipe(2, 3), costs, resources);
  EXPECT_EQ(Find(s, "0SEND_F1").made, 2);
  EXPECT_EQ(Find(s, "0SEND_F1").admitted, 12);
  EXPECT_EQ(s.ranks[1][1].start, 13);
  EXPECT_EQ(s.idle[1].link, 2);
  EXPECT_EQ(s.ranks[0][2].end, 3);  // rank 0 is not held up
  // With a send slot too the wait comes back to rank 0: F1 is in it until 12.
  resources.send_slots = {1, 1};
  s = Simulated(PaperGPipe(2, 3), costs, resources);
  EXPECT_EQ(s.ranks[0][1].start, 1);
  EXPECT_EQ(s.ranks[0][2].start, 12);
  EXPECT_EQ(s.idle[0].slot, 10);
  // The critical path runs from the slot that F0 freed.
  EXPECT_EQ(s.critical_path.front().start, 0);
  EXPECT_EQ(s.critical_path.back().end, s.makespan);
}

std::string Refusal(const Schedule& schedule, const ScheduleResources& resources) {
  const auto simulation = SimulateSchedule(schedule, ScheduleCosts::Uniform(schedule.stages, 1, 1, 1, 0), resources);
  EXPECT_EQ(simulation.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(simulation.status().message());
}

TEST(ScheduleResources, TooFewSlotsAreADeadlockThatIsTold) {
  ScheduleResources resources;
  resources.stash_slots = {2, 2};
  EXPECT_THAT(
      Refusal(PaperGPipe(2, 3), resources),
      AllOf(HasSubstr("rule deadlock: rank 0 waits at 0F2 for 0BW0 to free one of the 2 stash slots of stage 0, "
                      "which it lists after 0F2"),
            HasSubstr("or give more slots"), HasSubstr("! rank 0 | 0F0 0F1 [0F2] 0BW0 0BW1 0BW2 |")));
  // 1F1B holds p - s.
  resources.stash_slots = {2, 1};
  EXPECT_TRUE(SimulateSchedule(Paper1F1B(2, 6), ScheduleCosts::Uniform(2, 1, 1, 1, 0), resources).ok());
  // W frees the slot, not B.
  resources.stash_slots = {2};
  EXPECT_THAT(Refusal(Parse("0F0,0F1,0B0,0F2,0W0,0B1,0W1,0B2,0W2\n"), resources), HasSubstr("waits at 0F2 for 0W0 to"));
  // An R takes the slot in F's stead.
  resources.stash_slots = {1};
  EXPECT_TRUE(
      SimulateSchedule(Parse("0F0,0F1,0R0,0BW0,0R1,0BW1\n"), ScheduleCosts::Uniform(1, 1, 1, 1, 0), resources).ok());
}

TEST(ScheduleResources, AReaderInAnotherOrderNeedsReceiveSlots) {
  const Schedule schedule = Parse("0F0,0F1,0BW0,0BW1\n1F1,1F0,1BW0,1BW1\n");
  ScheduleResources resources;
  resources.receive_slots = {1, 1};
  EXPECT_THAT(
      Refusal(schedule, resources),
      HasSubstr("rank 1 waits at 1F1 for 1F0 to free one of the 1 receive slots of stage 1, which it lists after "
                "1F1"));
  resources.receive_slots = {1, 2};
  EXPECT_TRUE(SimulateSchedule(schedule, ScheduleCosts::Uniform(2, 1, 1, 1, 0), resources).ok());
  // F2 of rank 0 would be read first, but stays in no send slot: a circle of two ranks.
  const Schedule third = Parse("0F0,0F1,0F2,0BW0,0BW1,0BW2\n1F2,1F0,1F1,1BW0,1BW1,1BW2\n");
  resources.receive_slots = {1, 1};
  resources.send_slots = {1, 1};
  EXPECT_THAT(Refusal(third, resources),
              AllOf(HasSubstr("rank 0 waits at 0F2 for 1F0 to free one of the 1 receive slots of stage 1"),
                    HasSubstr("rank 1 waits at 1F2 for 0F2, which rank 0 lists after 0F2")));
}

TEST(ScheduleResources, ABarrierOfNoSlotsIsWhatItWas) {
  // Infinite bandwidth in each of the ways in which it can be said.
  ScheduleCosts costs = ScheduleCosts::Uniform(4, 1.1, 0.7, 0.3, 0.2);
  ScheduleResources bytes = Busy(4, 1, Wire::kShared);
  bytes.bandwidth.assign(4, kInfinity);
  ScheduleResources none;
  none.transfer_bytes = {0, 0, 0, 0};
  none.bandwidth = {1, 1, 1, 1};
  none.wire = Wire::kRank;
  for (const ScheduleResources& resources : {bytes, none}) {
    const ScheduleSimulation plain = Simulated(PaperZbH1(4, 9), costs, {});
    const ScheduleSimulation s = Simulated(PaperZbH1(4, 9), costs, resources);
    EXPECT_EQ(s.makespan, plain.makespan);
    for (int rank = 0; rank < 4; ++rank) {
      for (size_t i = 0; i < s.ranks[rank].size(); ++i) EXPECT_EQ(s.ranks[rank][i].start, plain.ranks[rank][i].start);
    }
  }
}

TEST(ScheduleResources, RefusesWhatMakesNoSense) {
  const Schedule schedule = PaperGPipe(2, 2);
  const auto refusal = [&](auto change) {
    ScheduleResources resources = Busy(2, 1);
    change(resources);
    return Refusal(schedule, resources);
  };
  EXPECT_THAT(refusal([](auto& r) { r.transfer_bytes = {1}; }), HasSubstr("1 values of transfer_bytes for 2 stages"));
  EXPECT_THAT(refusal([](auto& r) { r.transfer_bytes[1] = -1; }), HasSubstr("transfer_bytes of stage 1"));
  EXPECT_THAT(refusal([](auto& r) { r.transfer_bytes[1] = kInfinity; }), HasSubstr("transfer_bytes of stage 1"));
  EXPECT_THAT(refusal([](auto& r) { r.bandwidth[0] = 0; }), HasSubstr("nothing would ever arrive"));
  EXPECT_THAT(refusal([](auto& r) { r.bandwidth[0] = NAN; }), HasSubstr("bandwidth of stage 0"));
  EXPECT_THAT(refusal([](auto& r) { r.bandwidth = {1}; }), HasSubstr("bandwidth"));
  EXPECT_THAT(refusal([](auto& r) { r.bandwidth = {1e-300, 1}, r.transfer_bytes = {1e300, 1}; }), HasSubstr("add up"));
  EXPECT_THAT(refusal([](auto& r) { r.wire_of_edge = {1}; }), HasSubstr("wires"));
  EXPECT_THAT(refusal([](auto& r) { r.stash_slots = {0, 1}; }), HasSubstr("stash_slots of stage 0 is 0"));
  EXPECT_THAT(refusal([](auto& r) { r.receive_slots = {1}; }), HasSubstr("receive_slots"));
  EXPECT_THAT(refusal([](auto& r) { r.send_slots = {1, -1}; }), HasSubstr("send_slots of stage 1"));
  EXPECT_FALSE(SimulateSchedule(schedule, ScheduleCosts::Uniform(2, 1e308, 1e308, 0, 0)).ok());
}

}  // namespace
}  // namespace millrace
