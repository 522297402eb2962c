#include "partitioner/cost_graph/split.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/cost_graph/orders.h"
#include "partitioner/cost_graph/split_search.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kNoBound = std::numeric_limits<double>::infinity();
// What the default search does: the exact one, where it is about this small, and so many pairs of prefixes.
constexpr int kFewDownSets = 50'000;
constexpr int64_t kFewPieces = 4'000'000;
constexpr double kWork = 4e8;  // pairs of prefixes
constexpr int kMostRounds = 400;
constexpr double kMostStates = 6e7;  // of 16 bytes: down-sets times numbers of devices used
constexpr size_t kMostUnits = 10'000;
constexpr double kBetter = 1 - 1e-12;  // relative: less is rounding

bool Good(double x) { return std::isfinite(x) && x >= 0; }

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(absl::StrCat("cost graph: ", what)); }

absl::Status CheckUnits(const SplitProblem& problem) {
  const int units = static_cast<int>(problem.units.size());
  for (int u = 0; u < units; ++u) {
    const SplitUnit& unit = problem.units[u];
    if (Good(unit.accelerator_time) && Good(unit.host_time) && Good(unit.bytes)) continue;
    return Bad(absl::StrCat("unit ", u, " has times ", unit.accelerator_time, " and ", unit.host_time, " and ",
                            unit.bytes, " bytes; all must be finite and not negative"));
  }
  for (const SplitTensor& tensor : problem.tensors) {
    if (!Good(tensor.cost)) return Bad(absl::StrCat("a transfer costs ", tensor.cost));
    for (int u : tensor.units) {
      if (u < 0 || u >= units) return Bad(absl::StrCat("a tensor belongs to unit ", u, " of ", units));
    }
  }
  for (const std::vector<int>& before : problem.before) {
    for (int b : before) {
      if (b < 0 || b >= units) return Bad(absl::StrCat("an edge comes from unit ", b, " of ", units));
    }
  }
  return absl::OkStatus();
}

// Why nothing fits, as far as simple sums tell.
absl::Status NothingFits(const SplitProblem& problem, bool exact) {
  double total = 0, largest = 0;
  int host_only = 0;
  for (const SplitUnit& unit : problem.units) {
    total += unit.bytes;
    largest = std::max(largest, unit.bytes);
    host_only += !unit.accelerator_can;
  }
  std::string why;
  const double room = problem.memory_limit * problem.accelerators;
  if (host_only > 0 && problem.hosts == 0) {
    why = absl::StrCat(host_only, " units run on hosts only, and there is no host");
  } else if (largest > problem.memory_limit) {
    why = absl::StrFormat("one unit alone takes %.4g bytes, %.4g more than a device has", largest,
                          largest - problem.memory_limit);
  } else if (total > room) {
    why = absl::StrFormat("the units take %.4g bytes, %.4g more than all %d accelerators have together", total,
                          total - room, problem.accelerators);
  } else if (exact) {
    why =
        absl::StrFormat("%.4g bytes of units would fit %.4g bytes of memory, but in no contiguous split", total, room);
  } else {
    return absl::FailedPreconditionError(absl::StrFormat(
        "cost graph: no split was found that keeps the memory limit of %.4g bytes a device; the units take %.4g bytes "
        "of %.4g. The exact cut looks at every split; else give it more devices or memory",
        problem.memory_limit, total, room));
  }
  return absl::FailedPreconditionError(absl::StrCat("cost graph: no split keeps the memory limit of ",
                                                    absl::StrFormat("%.4g", problem.memory_limit),
                                                    " bytes a device: ", why, "; give it more devices or memory"));
}

absl::StatusOr<Split> Finished(const SplitProblem& problem, std::optional<std::vector<SplitPiece>> pieces, bool exact,
                               std::string method) {
  if (!pieces.has_value()) return NothingFits(problem, exact);
  MR_ASSIGN_OR_RETURN(Split split, EvaluateSplit(problem, *std::move(pieces)));
  split.exact = exact;
  split.method = std::move(method);
  return split;
}

double Objective(const SplitProblem& problem, const std::vector<SplitPiece>& pieces) {
  const absl::StatusOr<Split> split = EvaluateSplit(problem, pieces);
  return split.ok() ? split->objective : kNoBound;
}

// The best split over the prefixes of some orders.
class OrderSearch {
 public:
  explicit OrderSearch(const SplitProblem& problem) : problem_(problem) {
    for (const std::vector<int>& order : RuleOrders(problem)) Try(order);
  }

  // Random orders; three of four keep the best split's pieces together.
  void Run(int rounds) {
    for (int end = seed_ + rounds; seed_ < end; ++seed_) {
      if (seed_ % 4 == 0 || !pieces_.has_value()) {
        Try(RandomOrder(problem_, seed_));
        continue;
      }
      std::vector<int> piece_of(problem_.units.size(), 0);
      for (size_t p = 0; p < pieces_->size(); ++p) {
        for (int u : (*pieces_)[p].units) piece_of[u] = static_cast<int>(p);
      }
      Try(RandomOrder(problem_, seed_, &piece_of));
    }
  }

  // What another search must be below to be better by more than rounding.
  double bound() const { return objective_ * kBetter; }
  void Replace(std::optional<std::vector<SplitPiece>> pieces) {
    if (!pieces.has_value()) return;
    objective_ = Objective(problem_, *pieces);
    pieces_ = std::move(pieces);
  }
  std::optional<std::vector<SplitPiece>> Take() { return std::move(pieces_); }
  std::string Method() const { return absl::StrCat("over the prefixes of ", orders_, " orders"); }

 private:
  void Try(const std::vector<int>& order) {
    ++orders_;
    Replace(BestChain(problem_, DownSets::OfOrder(order), bound()).pieces);
  }

  const SplitProblem& problem_;
  std::optional<std::vector<SplitPiece>> pieces_;
  double objective_ = kNoBound;
  int orders_ = 0;
  int seed_ = 0;
};

// Numbers of devices used that a down-set can be reached with.
double StatesOf(const SplitProblem& problem) {
  const double units = static_cast<double>(problem.units.size());
  return (std::min<double>(problem.accelerators, units) + 1) * (std::min<double>(problem.hosts, units) + 1);
}

// Is even a chain of down-sets too much?
absl::Status CheckSize(const SplitProblem& problem) {
  const size_t units = problem.units.size();
  if (units <= kMostUnits && StatesOf(problem) * static_cast<double>(units + 1) <= kMostStates) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("cost graph: ", units, " units on ", problem.accelerators,
                                                   " accelerators and ", problem.hosts,
                                                   " hosts are too many for the search; ask for fewer devices"));
}

int RoundsFor(const SplitProblem& problem) {
  const double units = static_cast<double>(problem.units.size()), states = StatesOf(problem);
  return static_cast<int>(std::clamp(kWork / std::max(1.0, units * units * (4 + states)), 4.0, double{kMostRounds}));
}

std::string ExactMethod(const DownSets& sets) { return absl::StrCat("exact, over ", sets.size(), " down-sets"); }

}  // namespace

absl::Status CheckSplitProblem(const SplitProblem& problem) {
  if (problem.units.empty()) return Bad("there are no units");
  if (problem.before.size() != problem.units.size()) return Bad("the order is of another number of units");
  if (problem.accelerators < 0 || problem.hosts < 0 || problem.accelerators + problem.hosts < 1) {
    return Bad(absl::StrCat(problem.accelerators, " accelerators and ", problem.hosts,
                            " hosts; at least one device is needed"));
  }
  if (!(problem.memory_limit >= 0)) return Bad(absl::StrCat("a memory limit of ", problem.memory_limit));
  MR_RETURN_IF_ERROR(CheckUnits(problem));
  if (RandomOrder(problem, 0).size() != problem.units.size()) return Bad("the order of the units has a cycle");
  return absl::OkStatus();
}

absl::StatusOr<Split> ExactSplit(const SplitProblem& problem, int most_down_sets) {
  MR_RETURN_IF_ERROR(CheckSplitProblem(problem));
  MR_RETURN_IF_ERROR(CheckSize(problem));
  most_down_sets = static_cast<int>(std::min<double>(most_down_sets, kMostStates / StatesOf(problem)));
  absl::StatusOr<DownSets> sets = DownSets::Of(problem.before, most_down_sets);
  if (!sets.ok()) {
    return absl::Status(sets.status().code(), absl::StrCat("cost graph: ", sets.status().message(),
                                                           ", the most that the exact search takes; use the default "
                                                           "cut, which needs none of them"));
  }
  OrderSearch search(problem);  // says what there is to beat
  search.Replace(BestChain(problem, *sets, search.bound()).pieces);
  return Finished(problem, search.Take(), true, ExactMethod(*sets));
}

absl::StatusOr<Split> DefaultSplit(const SplitProblem& problem) {
  MR_RETURN_IF_ERROR(CheckSplitProblem(problem));
  MR_RETURN_IF_ERROR(CheckSize(problem));
  OrderSearch search(problem);
  const int most = static_cast<int>(std::min<double>(kFewDownSets, kMostStates / StatesOf(problem)));
  if (const absl::StatusOr<DownSets> sets = DownSets::Of(problem.before, most); sets.ok()) {
    ChainFound found = BestChain(problem, *sets, search.bound(), kFewPieces);
    search.Replace(std::move(found.pieces));
    if (!found.gave_up) return Finished(problem, search.Take(), true, ExactMethod(*sets));
  }
  search.Run(RoundsFor(problem));
  return Finished(problem, search.Take(), false, search.Method());
}

absl::StatusOr<Split> EvaluateSplit(const SplitProblem& problem, std::vector<SplitPiece> pieces) {
  std::vector<int> piece_of(problem.units.size(), -1);
  int hosts = 0, accelerators = 0;
  for (size_t p = 0; p < pieces.size(); ++p) {
    SplitPiece& piece = pieces[p];
    ++(piece.host ? hosts : accelerators);
    piece.compute = piece.communication = piece.bytes = 0;
    for (int u : piece.units) {
      if (u < 0 || u >= static_cast<int>(piece_of.size()) || piece_of[u] >= 0) {
        return Bad(absl::StrCat("unit ", u, " is not one of the graph's, or is in two pieces"));
      }
      piece_of[u] = static_cast<int>(p);
      const SplitUnit& unit = problem.units[u];
      if (!piece.host && !unit.accelerator_can) return Bad(absl::StrCat("unit ", u, " runs on hosts only"));
      piece.compute += piece.host ? unit.host_time : unit.accelerator_time;
      piece.bytes += unit.bytes;
    }
    if (!piece.host && piece.bytes > problem.memory_limit) return Bad(absl::StrCat("piece ", p, " does not fit"));
  }
  if (hosts > problem.hosts || accelerators > problem.accelerators) return Bad("there are more pieces than devices");
  for (size_t u = 0; u < piece_of.size(); ++u) {
    if (piece_of[u] < 0) return Bad(absl::StrCat("unit ", u, " is in no piece"));
    for (int b : problem.before[u]) {
      if (piece_of[b] > piece_of[u]) return Bad(absl::StrCat("the edge from unit ", b, " to ", u, " goes back"));
    }
  }
  for (const SplitTensor& tensor : problem.tensors) {
    std::vector<int> touched;
    for (int u : tensor.units) touched.push_back(piece_of[u]);
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    if (touched.size() < 2) continue;
    for (int p : touched) {
      if (!pieces[p].host) pieces[p].communication += tensor.cost;
    }
  }
  Split split;
  for (const SplitPiece& piece : pieces) split.objective = std::max(split.objective, piece.load());
  split.pieces = std::move(pieces);
  return split;
}

}  // namespace millrace
