#include "partitioner/cost_graph/split_search.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

class ChainSearch {
 public:
  ChainSearch(const SplitProblem& problem, const DownSets& sets, double bound, int64_t most_pieces)
      : problem_(problem),
        sets_(sets),
        bound_(bound),
        pieces_left_(most_pieces),
        accelerators_(std::min<int>(problem.accelerators, problem.units.size())),
        hosts_(std::min<int>(problem.hosts, problem.units.size())),
        states_((accelerators_ + 1) * (hosts_ + 1)),
        best_(int64_t{sets.size()} * states_, kNever),
        from_(best_.size()),
        tensors_of_(problem.units.size()),
        inside_(problem.tensors.size(), 0),
        seen_(sets.size(), -1) {
    for (size_t t = 0; t < problem.tensors.size(); ++t) {
      for (int u : problem.tensors[t].units) tensors_of_[u].push_back(static_cast<int>(t));
    }
    for (const SplitUnit& unit : problem.units) total_ += unit.accelerator_can ? unit.accelerator_time : 0;
  }

  ChainFound Run() {
    best_[0] = 0;
    Measure();
    for (int set = 0; set + 1 < sets_.size(); ++set) {
      if (!KeepPromising(set)) continue;
      from_set_ = set;
      piece_ = Piece();
      Extend(set);
      if (pieces_left_ < 0) return {std::nullopt, true};
    }
    return {Trace(), false};
  }

 private:
  struct From {
    int set = -1;
    bool host = false;
  };
  struct Piece {
    double accelerator = 0, host = 0, communication = 0, bytes = 0;
    int host_only = 0;  // units
  };
  // On the way up the lattice: the set, its next cover, the unit that led here and the piece without it.
  struct Level {
    int set;
    size_t next;
    int unit;
    Piece before;
  };

  int State(int accelerators, int hosts) const { return accelerators * (hosts_ + 1) + hosts; }

  // Accelerator time of every set's units.
  void Measure() {
    done_.assign(sets_.size(), 0);
    for (int set = 0; set < sets_.size(); ++set) {
      for (const DownSets::Cover& cover : sets_.Covers(set)) {
        const SplitUnit& unit = problem_.units[cover.unit];
        done_[cover.to] = done_[set] + (unit.accelerator_can ? unit.accelerator_time : 0);
      }
    }
    for (const SplitUnit& unit : problem_.units) {
      if (!unit.accelerator_can || unit.accelerator_time <= 0) continue;
      if (unit.host_time <= 0) {
        host_advantage_ = kNever;
      } else {
        host_advantage_ = std::max(host_advantage_, unit.accelerator_time / unit.host_time);
      }
    }
  }

  // Forgets the states of a set from which the rest cannot be below the bound: the devices that are left are too few
  // even if all were full. Are there others?
  bool KeepPromising(int set) {
    bool any = false;
    for (int a = 0; a <= accelerators_; ++a) {
      for (int h = 0; h <= hosts_; ++h) {
        double& value = best_[int64_t{set} * states_ + State(a, h)];
        if (value >= bound_) value = kNever;
        if (value == kNever) continue;
        const double room = bound_ * ((accelerators_ - a) + (h < hosts_ ? (hosts_ - h) * host_advantage_ : 0));
        if (total_ - done_[set] > room * (1 + 1e-9)) value = kNever;
        any = any || value != kNever;
      }
    }
    return any;
  }

  // Depth first through the sets above from_set_, each once, with what the piece so far is worth kept up to date.
  void Extend(int first) {
    std::vector<Level>& path = path_;
    path.assign(1, {first, 0, -1, {}});
    while (!path.empty()) {
      Level& level = path.back();
      const absl::Span<const DownSets::Cover> covers = sets_.Covers(level.set);
      if (level.next == covers.size()) {
        if (level.unit >= 0) Remove(level.unit);
        piece_ = level.before;
        path.pop_back();
        continue;
      }
      const DownSets::Cover cover = covers[level.next++];
      if (seen_[cover.to] == from_set_) continue;
      seen_[cover.to] = from_set_;
      if (--pieces_left_ < 0) return;
      const Piece before = piece_;
      Add(cover.unit);
      const bool fits = piece_.host_only == 0 && piece_.bytes <= problem_.memory_limit;
      const bool accelerator = fits && piece_.accelerator < bound_;
      const bool host = hosts_ > 0 && piece_.host < bound_;
      if (!accelerator && !host) {
        Remove(cover.unit);
        piece_ = before;
        continue;
      }
      if (accelerator && piece_.accelerator + piece_.communication < bound_) Reach(cover.to, false);
      if (host) Reach(cover.to, true);
      path.push_back({cover.to, 0, cover.unit, before});
    }
  }

  void Add(int u) {
    const SplitUnit& unit = problem_.units[u];
    piece_.accelerator += unit.accelerator_time;
    piece_.host += unit.host_time;
    piece_.bytes += unit.bytes;
    piece_.host_only += !unit.accelerator_can;
    for (int t : tensors_of_[u]) {
      const SplitTensor& tensor = problem_.tensors[t];
      if (++inside_[t] == 1) piece_.communication += tensor.cost;
      if (inside_[t] == static_cast<int>(tensor.units.size())) piece_.communication -= tensor.cost;
    }
  }
  void Remove(int u) {
    for (int t : tensors_of_[u]) --inside_[t];
  }

  void Reach(int set, bool host) {
    const double load = host ? piece_.host : piece_.accelerator + std::max(0.0, piece_.communication);
    const double* from = &best_[int64_t{from_set_} * states_];
    double* to = &best_[int64_t{set} * states_];
    for (int a = 0; a + !host <= accelerators_; ++a) {
      for (int h = 0; h + host <= hosts_; ++h) {
        const double value = std::max(from[State(a, h)], load);
        const int state = State(a + !host, h + host);
        if (value >= to[state]) continue;
        to[state] = value;
        from_[int64_t{set} * states_ + state] = {from_set_, host};
      }
    }
  }

  std::optional<std::vector<SplitPiece>> Trace() const {
    const int all = sets_.size() - 1;
    int a = 0, h = 0;
    double value = kNever;
    for (int i = 0; i <= accelerators_; ++i) {
      for (int j = 0; j <= hosts_; ++j) {
        const double here = best_[int64_t{all} * states_ + State(i, j)];
        if (here < value) value = here, a = i, h = j;
      }
    }
    if (value >= bound_) return std::nullopt;
    std::vector<SplitPiece> pieces;
    for (int set = all; set != 0;) {
      const From from = from_[int64_t{set} * states_ + State(a, h)];
      SplitPiece& piece = pieces.emplace_back();
      piece.host = from.host;
      piece.units = sets_.Between(from.set, set);
      set = from.set;
      (from.host ? h : a) -= 1;
    }
    std::reverse(pieces.begin(), pieces.end());
    return pieces;
  }

  const SplitProblem& problem_;
  const DownSets& sets_;
  const double bound_;
  int64_t pieces_left_;
  const int accelerators_, hosts_, states_;
  std::vector<double> best_;  // [set][state]: the largest load on the best way there
  std::vector<From> from_;
  std::vector<std::vector<int>> tensors_of_;
  std::vector<int> inside_;  // by tensor: of its units, those in the piece
  std::vector<int> seen_;    // by set: the last from_set_ that came by
  std::vector<double> done_;
  double total_ = 0;
  double host_advantage_ = 0;  // accelerator time that a host does per time of its own, at most
  int from_set_ = 0;
  Piece piece_;
  std::vector<Level> path_;
};

}  // namespace

ChainFound BestChain(const SplitProblem& problem, const DownSets& sets, double bound, int64_t most_pieces) {
  return ChainSearch(problem, sets, bound, most_pieces).Run();
}

}  // namespace millrace
