// DualPipeV's bubble and memory: what the generator reaches, and how the published formula comes about.
#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "partitioner/schedule/make_schedule.h"
#include "runtime/plan/schedule.h"

namespace millrace {
namespace {

ScheduleRequest Request(int p, int m) { return {.kind = "dualpipev", .ranks = p, .micro_batches = m}; }

// DualPipeV on p ranks with times of a chunk: what its bubble is, as dualpipev.h says.
double BubbleOfDualPipeV(int p, double f, double b, double w) {
  const double least = std::min(b, w);
  return std::max({(p - 1) * (f + b - least), (p - 1) * (2 * f - w - least), (p - 1) * (2 * b - least) - f});
}

TEST(DualPipeVTest, DualPipeVReachesItsFormulaAndStaysWithinThePublishedOne) {
  for (int p = 2; p <= 9; ++p) {
    for (int m : {2 * p, 2 * p + 3, 5 * p}) {
      for (int code = 0; code < 6 * 6 * 9; ++code) {
        const int f = 1 + code % 6, b = 1 + code / 6 % 6, w = code / 36;
        ScheduleRequest request = Request(p, m);
        request.forward = {2.0 * f};
        request.backward_input = {2.0 * b};
        request.backward_weight = {2.0 * w};
        const Schedule schedule = MakeSchedule(request).value();
        const ScheduleSimulation timed = SimulateSchedule(schedule, *CostsOfRequest(request)).value();
        const double bubble = timed.longest_span - 2.0 * m * (f + b + w);
        ASSERT_EQ(bubble, BubbleOfDualPipeV(p, f, b, w)) << p << " " << m << ": " << f << " " << b << " " << w;
        // (stages / 2 - 1)(FB + BF - 3 W), nothing overlapped.
        if (w <= b && f <= 2 * b + w) {
          ASSERT_LE(bubble, (p - 1) * ((f + b + w) + (b + w) - 3 * w));
        }
        // Published: stages + 1 chunks.
        for (double held : timed.peak_memory) ASSERT_LE(held, (2 * p + 1) / 2.0);
        ASSERT_EQ(*std::max_element(timed.peak_memory.begin(), timed.peak_memory.end()), (2 * p + 1) / 2.0);
      }
    }
  }
  EXPECT_EQ(SimulateSchedule(MakeSchedule(Request(1, 1)).value(), *CostsOfRequest(Request(1, 1)))->longest_span, 3);
  EXPECT_EQ(MakeSchedule(Request(4, 7)).status().code(), absl::StatusCode::kInvalidArgument);
}

// The longest span when a forward and the backward beside it are one block, as in the authors' program: it begins when
// the inputs of both are there, and what both make leaves at its end.
double SpanOfBlocks(const Schedule& schedule, double f, double b, double w) {
  const int last = schedule.stages - 1;
  std::vector<std::vector<double>> forward(schedule.stages, std::vector<double>(schedule.micro_batches, -1));
  std::vector<std::vector<double>> backward = forward;
  const auto ready = [&](const Action& a) {
    if (a.phase == proto::F) return a.stage == 0 ? 0 : forward[a.stage - 1][a.micro_batch];
    if (a.phase == proto::W) return 0.0;
    return a.stage == last ? forward[last][a.micro_batch] : backward[a.stage + 1][a.micro_batch];
  };
  std::vector<size_t> next(schedule.ranks.size(), 0);
  std::vector<double> now(schedule.ranks.size(), 0), first(schedule.ranks.size(), -1);
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t r = 0; r < next.size(); ++r) {
      const std::vector<Action>& list = schedule.ranks[r];
      while (next[r] < list.size()) {
        const size_t at = next[r];
        const bool block = list[at].phase == proto::F && at + 1 < list.size() && list[at + 1].phase == proto::BW;
        const double one = ready(list[at]), other = block ? ready(list[at + 1]) : 0;
        if (one < 0 || other < 0) break;
        const double start = std::max({now[r], one, other});
        if (first[r] < 0) first[r] = start;
        now[r] = start;
        for (size_t i = at; i <= at + block; ++i) {
          const proto::Phase phase = list[i].phase;
          now[r] += phase == proto::F ? f : phase == proto::B ? b : phase == proto::W ? w : b + w;
        }
        for (; next[r] <= at + block; ++next[r]) {
          const Action& a = list[next[r]];
          if (a.phase != proto::W) (a.phase == proto::F ? forward : backward)[a.stage][a.micro_batch] = now[r];
        }
        moved = true;
      }
    }
  }
  double longest = 0;
  for (size_t r = 0; r < next.size(); ++r) {
    EXPECT_EQ(next[r], schedule.ranks[r].size());
    longest = std::max(longest, now[r] - first[r]);
  }
  return longest;
}

TEST(DualPipeVTest, DualPipeVOfWholeBlocksIsThePublishedFormula) {
  for (int p = 2; p <= 6; ++p) {
    for (int m : {2 * p, 2 * p + 3, 4 * p}) {
      const Schedule schedule = MakeSchedule(Request(p, m)).value();
      for (int f = 1; f <= 4; ++f) {
        for (int b = f; b <= 5; ++b) {
          for (int w = 0; w <= b; ++w) {
            EXPECT_EQ(SpanOfBlocks(schedule, f, b, w) - 2 * m * (f + b + w), (p - 1) * ((f + b + w) + (b + w) - 3 * w))
                << p << " " << m << ": " << f << " " << b << " " << w;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
