// Generators against published tables, closed forms and lower bounds.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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

// Sums of eighths are exact.
TEST(GeneratorsTest, ClosedFormsWithAndWithoutLatency) {
  const struct { double f, b, w; } times[] = {{2, 1.75, 1.5}, {1.5, 2, 1}, {3, 3.5, 1.25}};
  for (const auto& [f, b, w] : times) {
    const double t = f + b + w;
    for (double c : {0.0, 0.125, 0.5}) {
      for (int p = 1; p <= 16; ++p) {
        for (int m = 1; m <= 64; ++m) {
          const auto span = [&](const char* kind, int v) {
            ScheduleRequest request = Request(kind, p, m, v);
            request.forward = {f};
            request.backward_input = {b};
            request.backward_weight = {w};
            request.communication = {c};
            const Schedule schedule = MakeSchedule(request).value();
            return SimulateSchedule(schedule, *CostsOfRequest(request))->longest_span;
          };
          const std::string where = absl::StrCat("p ", p, " m ", m, " c ", c, " TF ", f);
          ASSERT_EQ(span("gpipe", 1), (m + p - 1) * t + 2 * c * (p - 1)) << where;
          if (m >= p && p > 1 && c <= std::min(f, b + w) / 2) {
            const int q = m / p, r = m % p, x = r == 0 ? 0 : std::max(r - 1, 1);
            ASSERT_EQ(span("1f1b", 1), (m + p - 1) * t + 2 * c * ((p - 1) * q + p - 2 + x)) << where;
          }
          for (int v : {2, 4}) {
            if (m % p != 0 || p == 1 || c > std::min(f, b + w) / (2 * v)) continue;
            ASSERT_NEAR(span("interleaved", v), m * t + (p - 1) * t / v + 2 * c * (v * p - 1), 1e-9) << where;
          }
          if (f < w || m < 2 * p - 1) continue;
          ASSERT_EQ(span("zb-h1", 1), m * t + (p - 1) * (f + b - w) + 4 * (p - 1) * c) << where;
          if (b < w) continue;
          ASSERT_EQ(span("zb-h2", 1), m * t + (p - 1) * (f + b - 2 * w) + 2 * (p - 1) * c) << where;
        }
      }
    }
  }
}

TEST(GeneratorsTest, VSchedulesKeepTheirMemory) {
  for (int p = 1; p <= 32; ++p) {
    for (int m : {1, 2, p - 1, p + 1, 2 * p + 1}) {
      if (m < 1) continue;
      const auto check = [&](const char* kind, double memory) {
        for (double held : Timed(Request(kind, p, m)).peak_memory)
          EXPECT_LE(held, memory) << kind << " " << p << " " << m;
      };
      check("zb-v", p);
      check("v-half", (p + 1) / 2 + 2);
      check("v-min", (p + 2) / 3 + 2);
    }
  }
}

TEST(GeneratorsTest, VSchedulesKeepTheirBubble) {
  for (int p = 4; p <= 32; p += p < 12 ? 1 : 5) {
    const int m = 2 * p;
    const double bubble_of_1f1b = 3 * (p - 1);
    EXPECT_EQ(Span("zb-v", p, m), 3 * m) << p;
    EXPECT_LE(Span("v-half", p, m), 3 * m + bubble_of_1f1b / 2 + 1e-9) << p;
    EXPECT_LE(Span("v-min", p, m), 3 * m + bubble_of_1f1b * 2 / 3 + 1e-9) << p;
  }
}

double SpanUnder(const Schedule& schedule, const ScheduleRequest& costs) {
  return SimulateSchedule(schedule, *CostsOfRequest(costs))->longest_span;
}

TEST(GeneratorsTest, AutomaticIsNoWorseThanByHandNorThanWithLessMemory) {
  std::mt19937 random(5);
  const auto between = [&](double low, double high) { return low + (high - low) * (random() % 10001) / 10000; };
  for (int i = 0; i < 3000 && !HasFailure(); ++i) {
    const int p = 1 + random() % 10, m = 1 + random() % 40;
    ScheduleRequest request = Request("", p, m);
    for (int r = 0; r < (i % 2 == 0 ? 1 : p); ++r) {
      request.forward.push_back(between(0.5, 3));
      request.backward_input.push_back(between(0.5, 3));
      request.backward_weight.push_back(between(0, 3));
      request.communication.push_back(between(0, 1));
    }
    const auto span = [&](const char* kind, double limit) {
      request.kind = kind;
      request.memory_limit = limit;
      return SpanUnder(MakeSchedule(request).value(), request);
    };
    const double small = span("zb-auto", p), large = span("zb-auto", 2 * p);
    EXPECT_LE(small, span("zb-h1", 0) + 1e-9) << "p " << p << " m " << m;
    EXPECT_LE(large, span("zb-h2", 0) + 1e-9) << "p " << p << " m " << m;
    EXPECT_LE(large, small + 1e-9) << "p " << p << " m " << m;
    EXPECT_LE(span("zb-auto", 0), large + 1e-9) << "p " << p << " m " << m;
  }
}

TEST(GeneratorsTest, OwnTimesAreNoWorseThanTheAverage) {
  std::mt19937 random(9);
  const auto between = [&](double low, double high) { return low + (high - low) * (random() % 10001) / 10000; };
  for (int i = 0; i < 1500 && !HasFailure(); ++i) {
    const char* kind = std::vector<const char*>{"interleaved", "zb-auto", "zb-v", "v-half", "v-min"}[i % 5];
    const int p = 2 + random() % 6, m = 1 + random() % 24;
    ScheduleRequest request = Request(kind, p, m, i % 5 == 0 ? 1 + random() % 4 : 1);
    for (int r = 0; r < p; ++r) {
      request.forward.push_back(between(0.5, 3));
      request.backward_input.push_back(between(0.5, 3));
      request.backward_weight.push_back(between(0, 3));
      request.communication.push_back(between(0, 0.5));
    }
    if (i % 5 == 1) request.memory_limit = 1 + random() % (2 * p);
    ScheduleRequest average = request;
    for (auto* list : {&average.forward, &average.backward_input, &average.backward_weight, &average.communication}) {
      *list = {std::accumulate(list->begin(), list->end(), 0.0) / p};
    }
    EXPECT_LE(SpanUnder(MakeSchedule(request).value(), request),
              SpanUnder(MakeSchedule(average).value(), request) + 1e-9)
        << kind << " p " << p << " m " << m;
  }
}

TEST(GeneratorsTest, RandomRequestsAreValidAndNoBetterThanTheBounds) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  const std::vector<std::string> kinds = ScheduleKinds();
  int finished = 0;
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
    // Wires that are shared and slots that are few only delay, or are refused.
    const Schedule schedule = MakeSchedule(request).value();
    ScheduleResources resources;
    resources.wire = static_cast<ScheduleResources::Wire>(below(5));
    resources.transfer_bytes.assign(schedule.stages, below(4));
    resources.bandwidth.assign(schedule.stages, 4);
    if (below(2) == 0) resources.receive_slots.assign(schedule.stages, 1 + below(3));
    if (below(2) == 0) resources.send_slots.assign(schedule.stages, 1 + below(3));
    const auto limited = SimulateSchedule(schedule, *CostsOfRequest(request), resources);
    if (!limited.ok()) {
      EXPECT_NE(limited.status().message().find("rule deadlock"), absl::string_view::npos) << limited.status();
      continue;
    }
    ++finished;
    EXPECT_GE(limited->makespan, timed.makespan - 1e-9) << kind << " p " << p << " m " << m;
    for (int r = 0; r < p; ++r) {
      const ScheduleIdle& idle = limited->idle[r];
      EXPECT_NEAR(limited->busy[r] + idle.before_first + idle.data + idle.link + idle.slot + idle.after_last,
                  limited->makespan, 1e-6);
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(finished, 1500);
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
