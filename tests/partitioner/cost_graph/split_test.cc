// Splits against every split there is, on small random problems.
#include "partitioner/cost_graph/split.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

SplitProblem RandomProblem(std::mt19937& random, int most_units) {
  SplitProblem problem;
  const int units = 1 + static_cast<int>(random() % most_units);
  for (int u = 0; u < units; ++u) {
    const double time = random() % 20;
    problem.units.push_back(
        {time, time * (1 + static_cast<double>(random() % 4)), double(random() % 10), random() % 12 != 0});
  }
  problem.before.resize(units);
  const unsigned sparse = 1 + random() % 4;
  for (int u = 1; u < units; ++u) {
    for (int b = 0; b < u; ++b) {
      if (random() % sparse == 0) problem.before[u].push_back(b);
    }
  }
  for (unsigned t = random() % (2 * units); t > 0; --t) {
    SplitTensor tensor{double(random() % 6), {}};
    for (int k = 0; k < 3; ++k) tensor.units.push_back(static_cast<int>(random() % units));
    std::sort(tensor.units.begin(), tensor.units.end());
    tensor.units.erase(std::unique(tensor.units.begin(), tensor.units.end()), tensor.units.end());
    if (tensor.units.size() > 1) problem.tensors.push_back(std::move(tensor));
  }
  problem.accelerators = static_cast<int>(random() % 4);
  problem.hosts = static_cast<int>(random() % 3);
  if (problem.accelerators + problem.hosts == 0) problem.accelerators = 1;
  problem.memory_limit = random() % 3 == 0 ? 1e9 : 8 + static_cast<double>(random() % 30);
  return problem;
}

// The load of the units in `piece`, a mask, by the rules alone.
double Load(const SplitProblem& problem, unsigned piece, bool host) {
  double load = 0, bytes = 0;
  for (size_t u = 0; u < problem.units.size(); ++u) {
    if (!(piece >> u & 1)) continue;
    if (!host && !problem.units[u].accelerator_can) return kNever;
    load += host ? problem.units[u].host_time : problem.units[u].accelerator_time;
    bytes += problem.units[u].bytes;
  }
  if (host) return load;
  if (bytes > problem.memory_limit) return kNever;
  for (const SplitTensor& tensor : problem.tensors) {
    unsigned touched = 0;
    for (int u : tensor.units) touched |= 1u << u;
    if ((touched & piece) != 0 && (touched & ~piece) != 0) load += tensor.cost;
  }
  return load;
}

// The best objective of all ordered lists of pieces.
double BruteForce(const SplitProblem& problem) {
  const unsigned all = (1u << problem.units.size()) - 1;
  std::vector<unsigned> needed(problem.units.size(), 0);
  for (size_t u = 0; u < needed.size(); ++u) {
    for (int b : problem.before[u]) needed[u] |= 1u << b;
  }
  double best = kNever;
  const std::function<void(unsigned, int, int, double)> extend = [&](unsigned done, int accelerators, int hosts,
                                                                     double load) {
    if (load >= best) return;
    if (done == all) {
      best = load;
      return;
    }
    const unsigned rest = all & ~done;
    for (unsigned piece = rest; piece != 0; piece = (piece - 1) & rest) {
      bool first = true;
      for (size_t u = 0; u < needed.size() && first; ++u) {
        first = !(piece >> u & 1) || (needed[u] & ~(done | piece)) == 0;
      }
      if (!first) continue;
      if (accelerators > 0) extend(done | piece, accelerators - 1, hosts, std::max(load, Load(problem, piece, false)));
      if (hosts > 0) extend(done | piece, accelerators, hosts - 1, std::max(load, Load(problem, piece, true)));
    }
  };
  extend(0, problem.accelerators, problem.hosts, 0);
  return best;
}

// The split is one by the rules, and its objective is what its pieces come to.
void ExpectValid(const SplitProblem& problem, const Split& split) {
  std::vector<int> piece_of(problem.units.size(), -1);
  int hosts = 0, accelerators = 0;
  double objective = 0;
  for (size_t p = 0; p < split.pieces.size(); ++p) {
    unsigned mask = 0;
    for (int u : split.pieces[p].units) {
      EXPECT_EQ(piece_of[u], -1);
      piece_of[u] = static_cast<int>(p);
      mask |= 1u << u;
    }
    ++(split.pieces[p].host ? hosts : accelerators);
    const double load = Load(problem, mask, split.pieces[p].host);
    EXPECT_NEAR(split.pieces[p].load(), load, 1e-9);
    objective = std::max(objective, load);
  }
  EXPECT_NEAR(split.objective, objective, 1e-9);
  EXPECT_LE(hosts, problem.hosts);
  EXPECT_LE(accelerators, problem.accelerators);
  for (size_t u = 0; u < piece_of.size(); ++u) {
    ASSERT_GE(piece_of[u], 0);
    for (int b : problem.before[u]) EXPECT_LE(piece_of[b], piece_of[u]);
  }
}

TEST(SplitTest, ExactIsTheBestOfAll) {
  std::mt19937 random(1);
  int infeasible = 0, with_host = 0, several = 0;
  for (int round = 0; round < 3000; ++round) {
    const SplitProblem problem = RandomProblem(random, 7);
    const double best = BruteForce(problem);
    const auto split = ExactSplit(problem, 1000);
    if (best == kNever) {
      EXPECT_EQ(split.status().code(), absl::StatusCode::kFailedPrecondition) << split.status();
      ++infeasible;
      continue;
    }
    ASSERT_TRUE(split.ok()) << split.status();
    ASSERT_NEAR(split->objective, best, 1e-9 * (1 + best)) << "round " << round;
    EXPECT_TRUE(split->exact);
    ExpectValid(problem, *split);
    for (const SplitPiece& piece : split->pieces) with_host += piece.host;
    several += split->pieces.size() > 1;
  }
  EXPECT_GT(infeasible, 100);
  EXPECT_GT(with_host, 100);
  EXPECT_GT(several, 500);
}

TEST(SplitTest, DefaultIsExactWhereSmallAndTheSameEveryTime) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const SplitProblem problem = RandomProblem(random, 10);
    const auto exact = ExactSplit(problem, 2000), found = DefaultSplit(problem), again = DefaultSplit(problem);
    ASSERT_EQ(exact.ok(), found.ok());
    if (!exact.ok()) continue;
    EXPECT_DOUBLE_EQ(found->objective, exact->objective);
    ASSERT_EQ(found->pieces.size(), again->pieces.size());
    for (size_t p = 0; p < found->pieces.size(); ++p) EXPECT_EQ(found->pieces[p].units, again->pieces[p].units);
  }
}

// Some chains side by side: many down-sets.
SplitProblem Lanes(std::mt19937& random, int lanes, int length) {
  SplitProblem problem;
  for (int l = 0; l < lanes; ++l) {
    for (int i = 0; i < length; ++i) {
      const int u = static_cast<int>(problem.units.size());
      problem.units.push_back({1.0 + random() % 16, 40, 1});
      problem.before.emplace_back();
      if (i == 0) continue;
      problem.before[u].push_back(u - 1);
      problem.tensors.push_back({double(random() % 8), {u - 1, u}});
    }
  }
  problem.accelerators = 4;
  problem.memory_limit = 1e9;
  return problem;
}

TEST(SplitTest, OverOrdersIsNearTheBest) {
  std::mt19937 random(3);
  double worst = 1;
  for (int round = 0; round < 2; ++round) {
    const SplitProblem problem = Lanes(random, 4, 15);  // 65,536 down-sets: the default looks at orders
    const auto found = DefaultSplit(problem), best = ExactSplit(problem, 100'000);
    ASSERT_TRUE(found.ok() && best.ok());
    EXPECT_FALSE(found->exact);
    EXPECT_GE(found->objective, best->objective * (1 - 1e-12));
    worst = std::max(worst, found->objective / best->objective);
  }
  EXPECT_LE(worst, 1.05);
}

TEST(SplitTest, ManyDownSetsAreRefusedByTheExactSearchOnly) {
  std::mt19937 random(4);
  const SplitProblem problem = Lanes(random, 12, 10);
  const auto split = ExactSplit(problem, 100'000);
  EXPECT_EQ(split.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(split.status().message().find("more than 100000 down-sets"), absl::string_view::npos) << split.status();
  EXPECT_NE(split.status().message().find("use the default cut"), absl::string_view::npos);
  EXPECT_TRUE(DefaultSplit(problem).ok());
}

TEST(SplitTest, SaysWhatIsWrong) {
  const auto refused = [](SplitProblem problem, absl::StatusCode code, const std::string& part) {
    for (const absl::Status& status : {ExactSplit(problem, 1000).status(), DefaultSplit(problem).status()}) {
      EXPECT_EQ(status.code(), code) << status;
      EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
    }
  };
  std::mt19937 random(5);
  SplitProblem good = Lanes(random, 1, 4);
  SplitProblem problem = good;
  problem.accelerators = 0;
  refused(problem, absl::StatusCode::kInvalidArgument, "0 accelerators and 0 hosts");
  problem = good;
  problem.units[1].accelerator_time = std::numeric_limits<double>::quiet_NaN();
  refused(problem, absl::StatusCode::kInvalidArgument, "unit 1 has times nan");
  problem = good;
  problem.tensors[0].cost = kNever;
  refused(problem, absl::StatusCode::kInvalidArgument, "a transfer costs inf");
  problem = good;
  problem.before[0] = {3};
  refused(problem, absl::StatusCode::kInvalidArgument, "cycle");
  problem = good;
  problem.before[0] = {7};
  refused(problem, absl::StatusCode::kInvalidArgument, "unit 7 of 4");
  problem = good;
  problem.memory_limit = 0.75;
  refused(problem, absl::StatusCode::kFailedPrecondition, "one unit alone takes 1 bytes, 0.25 more than a device has");
  problem.memory_limit = 1;
  problem.accelerators = 3;
  refused(problem, absl::StatusCode::kFailedPrecondition, "4 bytes, 1 more than all 3 accelerators");
  problem = good;
  problem.units[2].accelerator_can = false;
  refused(problem, absl::StatusCode::kFailedPrecondition, "there is no host");
  refused(SplitProblem{}, absl::StatusCode::kInvalidArgument, "there are no units");
  problem = Lanes(random, 1, 9000);
  problem.accelerators = problem.hosts = 60'000;
  refused(problem, absl::StatusCode::kResourceExhausted, "too many for the search");
}

}  // namespace
}  // namespace millrace
