// Generators against published tables, closed forms and lower bounds.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "partitioner/schedule/check_schedule.h"
#include "partitioner/schedule/make_schedule.h"

namespace millrace {
namespace {

ScheduleRequest Request(const std::string& kind, int p, int m, int v = 1) {
  return {.kind = kind, .ranks = p, .chunks = v, .micro_batches = m};
}

// Valid by both checks, then timed.
ScheduleSimulation Timed(const ScheduleRequest& request) {
  const absl::StatusOr<Schedule> schedule = MakeSchedule(request);
  EXPECT_EQ(schedule.status(), absl::OkStatus());
  EXPECT_EQ(CheckTrainSchedule(*schedule), absl::OkStatus()) << request.kind;
  EXPECT_EQ(VerifySchedule(*schedule), absl::OkStatus()) << request.kind;
  return SimulateSchedule(*schedule, *CostsOfRequest(request)).value();
}

double Span(const std::string& kind, int p, int m, int v = 1) { return Timed(Request(kind, p, m, v)).longest_span; }

std::vector<std::vector<std::string>> Rows(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::string line;
  std::getline(file, line);  // names of the columns
  while (std::getline(file, line)) {
    std::stringstream cells(line);
    std::string cell;
    for (rows.emplace_back(); std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  EXPECT_FALSE(rows.empty()) << path;
  return rows;
}

void CheckZeroBubbleTable(const std::string& path) {
  for (const auto& row : Rows(path)) {
    std::vector<double> x(1, 0);
    for (size_t i = 1; i < row.size(); ++i) x.push_back(std::stod(row[i]));
    const int p = x[1], m = x[2], v = x[3];
    const double total = x[4] + x[5] + x[6];
    const auto rate = [&](const char* kind, int chunks, double limit) {
      ScheduleRequest request = Request(kind, p, m, chunks);
      request.forward = {x[4]};
      request.backward_input = {x[5]};
      request.backward_weight = {x[6]};
      request.communication = {x[7]};
      request.memory_limit = limit;
      const ScheduleSimulation timed = Timed(request);
      if (limit > 0) {
        for (double held : timed.peak_memory) EXPECT_LE(held, limit + 1e-9);
      }
      return 1 - m * total / timed.longest_span;
    };
    EXPECT_NEAR(rate("1f1b", 1, 0), x[8], 6e-5);
    EXPECT_NEAR(rate("interleaved", v, 0), x[9], 0.004);
    const double every_hop = m * total + (p - 1) * total / v + 2 * x[7] * (v * p - 1);
    EXPECT_NEAR(rate("interleaved", v, 0), 1 - m * total / every_hop, 1e-9);
    EXPECT_NEAR(rate("zb-h1", 1, 0), x[10], 6e-5);
    EXPECT_NEAR(rate("zb-h2", 1, 0), x[11], 6e-5);
    EXPECT_LE(rate("zb-auto", 1, p), x[12] + 6e-5);
    EXPECT_LE(rate("zb-auto", 1, 2 * p), x[13] + 6e-5);
  }
}

void CheckUnitTable(const std::string& path) {
  for (const auto& row : Rows(path)) {
    const int p = std::stoi(row[0]), m = std::stoi(row[1]);
    EXPECT_EQ(Span("gpipe", p, m), std::stod(row[2]));
    EXPECT_EQ(Span("1f1b", p, m), std::stod(row[3]));
    EXPECT_EQ(Span("interleaved", p, m, 2), std::stod(row[4]));
    EXPECT_EQ(Span("interleaved", p, m, 4), std::stod(row[5]));
    EXPECT_EQ(Span("zb-h1", p, m), std::stod(row[6]));
    EXPECT_EQ(Span("zb-h2", p, m), std::stod(row[7]));
  }
}

TEST(GeneratorsTest, ZeroBubbleTable) { CheckZeroBubbleTable("tests/golden/zb_bubble.csv"); }
TEST(GeneratorsTest, UnitTable) { CheckUnitTable("tests/golden/unit_schedule_spans.csv"); }

TEST(GeneratorsTest, SharedTables) {
  const char* shared = std::getenv("MILLRACE_SHARED");
  if (shared == nullptr) GTEST_SKIP() << "MILLRACE_SHARED names no folder of reference tables";
  CheckZeroBubbleTable(std::string(shared) + "/reference/tables/zb_bubble.csv");
  CheckUnitTable(std::string(shared) + "/reference/tables/unit_schedule_spans.csv");
}

TEST(GeneratorsTest, ClosedFormsOfUnitTimes) {
  for (int p = 1; p <= 16; ++p) {
    for (int m = 1; m <= 64; ++m) {
      EXPECT_EQ(Span("gpipe", p, m), 3 * m + 3 * (p - 1));
      EXPECT_EQ(Span("1f1b", p, m), 3 * m + 3 * (p - 1));
      if (m >= p) {
        EXPECT_EQ(Span("zb-h1", p, m), 3 * m + p - 1) << p << " " << m;
      }
      if (m >= 2 * p - 1) {
        EXPECT_EQ(Span("zb-h2", p, m), 3 * m) << p << " " << m;
      }
      if (m % p == 0) {
        EXPECT_EQ(Span("interleaved", p, m, 2), 3 * m + 1.5 * (p - 1)) << p << " " << m;
      }
    }
  }
}

TEST(GeneratorsTest, VSchedulesKeepTheirMemoryAndTheirBubble) {
  for (int p = 4; p <= 32; p += p < 10 ? 1 : 11) {
    const int m = 2 * p;
    const double bubble_of_1f1b = 3 * (p - 1);
    const auto check = [&](const char* kind, double memory, double bubble) {
      const ScheduleSimulation timed = Timed(Request(kind, p, m));
      for (double held : timed.peak_memory) EXPECT_LE(held, memory) << kind << " " << p;
      EXPECT_LE(timed.longest_span, 3 * m + bubble + 1e-9) << kind << " " << p;
    };
    check("zb-v", p, 0);
    check("v-half", (p + 1) / 2 + 2, bubble_of_1f1b / 2);
    check("v-min", (p + 2) / 3 + 2, bubble_of_1f1b * 2 / 3);
  }
}

TEST(GeneratorsTest, DualPipeVStaysWithinItsFormula) {
  for (int p : {1, 2, 3, 8}) {
    for (int m : {2 * p, 3 * p + 1}) {
      // (stages / 2 - 1)(FB + BF - 3 W) of chunk times, FB not overlapped: F + BF. A unit chunk takes 1/2 here.
      // Every pass alone on its rank, the longest span is half of the formula's bubble longer than the work.
      const double formula = (p - 1) * (3 + 2 - 3) * 0.5;
      EXPECT_LE(Span("dualpipev", p, m), 3 * m + formula);
      EXPECT_EQ(Span("dualpipev", p, m), 3 * m + formula / 2);
    }
  }
  EXPECT_EQ(MakeSchedule(Request("dualpipev", 4, 7)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GeneratorsTest, RandomRequestsAreValidAndNoBetterThanTheBounds) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  const std::vector<std::string> kinds = ScheduleKinds();
  for (int i = 0; i < 2500; ++i) {
    const std::string& kind = kinds[i % kinds.size()];
    const int p = 1 + below(7);
    const int m = kind == "dualpipev" ? 2 * p + below(9) : 1 + below(20);
    ScheduleRequest request = Request(kind, p, m, kind == "interleaved" ? 1 + below(4) : 1);
    double slowest = 0, there_and_back = 0;
    for (int r = 0; r < p; ++r) {
      request.forward.push_back(0.1 + below(100) / 50.0);
      request.backward_input.push_back(0.1 + below(100) / 50.0);
      request.backward_weight.push_back(below(100) / 50.0);
      request.communication.push_back(below(30) / 100.0);
      const double once = request.forward[r] + request.backward_input[r];
      slowest = std::max(slowest, once + request.backward_weight[r]);
      there_and_back += once + (r + 1 < p ? 2 * request.communication[r] : 0);
    }
    if (kind == "zb-auto") request.memory_limit = below(3) == 0 ? 0 : 1 + below(2 * p);
    const ScheduleSimulation timed = Timed(request);
    EXPECT_GE(timed.longest_span, m * slowest - 1e-9) << kind << " p " << p << " m " << m;
    EXPECT_GE(timed.makespan, there_and_back - 1e-9) << kind << " p " << p << " m " << m;
    if (request.memory_limit > 0) {
      for (double held : timed.peak_memory) EXPECT_LE(held, request.memory_limit + 1e-9);
    }
    if (HasFailure()) break;
  }
}

TEST(GeneratorsTest, RefusesWhatIsNoRequest) {
  const auto refused = [](const ScheduleRequest& request) {
    return MakeSchedule(request).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(Request("1f2b", 2, 4)));
  EXPECT_TRUE(refused(Request("gpipe", 0, 4)));
  EXPECT_TRUE(refused(Request("gpipe", 2, 0)));
  EXPECT_TRUE(refused(Request("gpipe", 2, 4, 2)));
  EXPECT_TRUE(refused(Request("zb-v", 2, 4, 3)));
  EXPECT_TRUE(refused(Request("interleaved", 1 << 15, 1 << 15, 1 << 15)));
  ScheduleRequest request = Request("1f1b", 3, 4);
  request.forward = {1, 2};
  EXPECT_TRUE(refused(request));
  request.forward = {-1};
  EXPECT_TRUE(refused(request));
  request = Request("1f1b", 3, 4);
  request.memory_limit = 3;
  EXPECT_TRUE(refused(request));
  request.kind = "zb-auto";
  request.memory_limit = 0.5;
  EXPECT_TRUE(refused(request));
}

}  // namespace
}  // namespace millrace
