#include "partitioner/cut/stage_search.h"

#include <algorithm>
#include <limits>

#include "absl/container/inlined_vector.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1 + 1e-12;

class Search {
 public:
  Search(const Chain& chain, const CutRules& rules, const DownSets& sets, StageLoad load, int64_t most_pieces)
      : chain_(chain),
        rules_(rules),
        sets_(sets),
        load_(load),
        pieces_left_(most_pieces),
        stages_(static_cast<int>(rules.device_of_stage.size())),
        tensors_of_(chain.units.size()),
        inside_(chain.tensors.size(), 0),
        seen_(sets.size(), -1) {
    FindKinds();
    for (size_t t = 0; t < chain.tensors.size(); ++t) {
      link_seconds_.push_back(rules.link_seconds(chain.tensors[t].bytes));
      for (int u : chain.tensors[t].units) tensors_of_[u].push_back(static_cast<int>(t));
    }
    rest_.assign(sets.size(), 0);
    for (int set = sets.size() - 2; set >= 0; --set) {
      const DownSets::Cover& cover = sets.Covers(set)[0];
      rest_[set] = rest_[cover.to] + least_[cover.unit];
    }
  }

  // Minimises the largest load, or, of cuts whose loads are all within `limit`, the border bytes.
  StageSearchFound Run(double limit, bool by_bytes) {
    limit_ = limit;
    by_bytes_ = by_bytes;
    best_.assign(int64_t{sets_.size()} * (stages_ + 1), kNever);
    from_.assign(best_.size(), -1);
    std::fill(seen_.begin(), seen_.end(), -1);
    best_[0] = 0;
    for (int set = 0; set + 1 < sets_.size(); ++set) {
      if (!KeepPromising(set)) continue;
      from_set_ = set;
      piece_ = Piece{.seconds = absl::InlinedVector<double, 4>(seconds_.size(), 0)};
      Extend(set);
      if (pieces_left_ < 0) return {.gave_up = true};
    }
    return Trace();
  }

 private:
  struct Piece {
    absl::InlinedVector<double, 4> seconds;  // by kind of device
    double link = 0, parameters = 0, stash = 0, bytes = 0;
    int pin = -1;
  };
  struct Level {
    int set;
    size_t next;
    int unit;
    Piece before;
  };

  // Devices on which every unit takes the same time are one kind.
  void FindKinds() {
    const int units = static_cast<int>(chain_.units.size());
    for (int device : rules_.device_of_stage) {
      std::vector<double> seconds;
      for (int u = 0; u < units; ++u) seconds.push_back(chain_.Seconds(u, device));
      const auto known = std::find(seconds_.begin(), seconds_.end(), seconds);
      kind_of_stage_.push_back(static_cast<int>(known - seconds_.begin()));
      if (known == seconds_.end()) seconds_.push_back(std::move(seconds));
    }
    for (int u = 0; u < units; ++u) {
      double least = kNever;
      for (const std::vector<double>& seconds : seconds_) least = std::min(least, seconds[u]);
      least_.push_back(least);
    }
  }

  double& Best(int set, int stages) { return best_[int64_t{set} * (stages_ + 1) + stages]; }

  // Forgets numbers of stages from which the rest cannot be done within the limit, and lists the others.
  bool KeepPromising(int set) {
    open_.clear();
    for (int s = 0; s < stages_; ++s) {
      if (Best(set, s) == kNever) continue;
      if (load_ == StageLoad::kSeconds && rest_[set] > (stages_ - s) * limit_ * (1 + 1e-9)) continue;
      open_.push_back(s);
    }
    return !open_.empty();
  }

  double Bytes(int s) const {
    const StageMemory& memory = rules_.memory[s];
    return memory.fixed + memory.per_parameter_byte * piece_.parameters + memory.in_flight * piece_.stash;
  }
  // What only grows as units are added; kNever where the piece can be no part of this stage.
  double Floor(int s) const {
    if (piece_.pin >= 0 && piece_.pin != s) return kNever;
    if (load_ == StageLoad::kShare) return std::max(0.0, Bytes(s) / rules_.memory[s].limit);
    if (!rules_.memory.empty() && Bytes(s) > rules_.memory[s].limit) return kNever;
    return piece_.seconds[kind_of_stage_[s]];
  }

  void Extend(int first) {
    path_.assign(1, {first, 0, -1, {}});
    while (!path_.empty()) {
      Level& level = path_.back();
      const absl::Span<const DownSets::Cover> covers = sets_.Covers(level.set);
      if (level.next == covers.size()) {
        if (level.unit >= 0) {
          for (int t : tensors_of_[level.unit]) --inside_[t];
          piece_ = std::move(level.before);
        }
        path_.pop_back();
        continue;
      }
      const DownSets::Cover cover = covers[level.next++];
      if (seen_[cover.to] == from_set_) continue;
      const int pin = rules_.pinned.empty() ? -1 : rules_.pinned[cover.unit];
      if (pin >= 0 && piece_.pin >= 0 && pin != piece_.pin) continue;
      seen_[cover.to] = from_set_;
      if (--pieces_left_ < 0) return;
      Level next{cover.to, 0, cover.unit, piece_};
      Add(cover.unit, pin);
      bool goes_on = false;
      for (int s : open_) {
        const double floor = Floor(s);
        if (floor > limit_) continue;
        goes_on = true;
        Reach(cover.to, s, floor);
      }
      if (goes_on) {
        path_.push_back(std::move(next));
      } else {
        for (int t : tensors_of_[cover.unit]) --inside_[t];
        piece_ = std::move(next.before);
      }
    }
  }

  void Add(int u, int pin) {
    for (size_t k = 0; k < seconds_.size(); ++k) piece_.seconds[k] += seconds_[k][u];
    piece_.parameters += static_cast<double>(chain_.units[u].parameter_bytes);
    piece_.stash += static_cast<double>(chain_.units[u].stash_bytes);
    if (pin >= 0) piece_.pin = pin;
    for (int t : tensors_of_[u]) {
      const ChainTensor& tensor = chain_.tensors[t];
      const int inside = ++inside_[t];
      const int change = (inside == 1) - (inside == static_cast<int>(tensor.units.size()));
      piece_.link += change * link_seconds_[t];
      piece_.bytes += change * static_cast<double>(tensor.bytes);
    }
  }

  void Reach(int set, int s, double floor) {
    if ((set + 1 == sets_.size()) != (s + 1 == stages_)) return;
    const double load = load_ == StageLoad::kSeconds ? floor + std::max(0.0, piece_.link) : floor;
    if (load > limit_) return;
    const double before = Best(from_set_, s);
    const double value = by_bytes_ ? before + piece_.bytes : std::max(before, load);
    double& best = Best(set, s + 1);
    if (value >= best) return;
    best = value;
    from_[int64_t{set} * (stages_ + 1) + s + 1] = from_set_;
  }

  StageSearchFound Trace() {
    StageSearchFound found;
    found.largest = found.bytes = Best(sets_.size() - 1, stages_);
    if (found.largest == kNever) return found;
    found.stage_of_unit.assign(chain_.units.size(), 0);
    for (int set = sets_.size() - 1, s = stages_; s > 0; --s) {
      const int from = from_[int64_t{set} * (stages_ + 1) + s];
      for (int u : sets_.Between(from, set)) found.stage_of_unit[u] = s - 1;
      set = from;
    }
    return found;
  }

  const Chain& chain_;
  const CutRules& rules_;
  const DownSets& sets_;
  const StageLoad load_;
  int64_t pieces_left_;
  const int stages_;
  std::vector<std::vector<double>> seconds_;  // by kind of device, then unit
  std::vector<int> kind_of_stage_;
  std::vector<double> least_;  // by unit: seconds on the fastest kind
  std::vector<double> rest_;   // by set: of that, what is outside
  std::vector<double> link_seconds_;
  std::vector<std::vector<int>> tensors_of_;
  std::vector<int> inside_;  // by tensor: of its units, those in the piece
  std::vector<int> seen_;    // by set: the last from_set_ that came by
  double limit_ = 0;
  bool by_bytes_ = false;
  std::vector<double> best_;  // [set][stages]
  std::vector<int> from_;
  std::vector<int> open_;  // of from_set_: numbers of stages that may go on
  int from_set_ = 0;
  Piece piece_;
  std::vector<Level> path_;
};

}  // namespace

StageSearchFound SearchStages(const Chain& chain, const CutRules& rules, const DownSets& sets, StageLoad load,
                              double limit, int64_t most_pieces) {
  Search search(chain, rules, sets, load, most_pieces);
  StageSearchFound least = search.Run(limit * kRounding, false);
  if (least.gave_up || least.stage_of_unit.empty()) return least;
  StageSearchFound fewest = search.Run(least.largest * kRounding, true);
  fewest.largest = least.largest;
  return fewest;
}

}  // namespace millrace
