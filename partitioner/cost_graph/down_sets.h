// The down-sets (ideals) of a partial order: sets of units that hold, with every unit, all that must come before it.
// The states of exact cuts: a chain of stages is a chain of down-sets (Narayanan et al. 2019, PipeDream, section 3.1;
// Tarnawski et al. 2020, "Efficient Algorithms for Device Placement of DNN Graph Operators", arXiv 2006.16423).
#ifndef PARTITIONER_COST_GRAPH_DOWN_SETS_H_
#define PARTITIONER_COST_GRAPH_DOWN_SETS_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace millrace {

// Numbered so that a set comes after all its subsets: 0 is the empty set, size() - 1 holds every unit.
class DownSets {
 public:
  // `before[u]`: units that must be in every set with u in it. RESOURCE_EXHAUSTED when there are more than `most` sets;
  // INVALID_ARGUMENT names a unit on a cycle.
  static absl::StatusOr<DownSets> Of(const std::vector<std::vector<int>>& before, int most);

  // The prefixes of one topological order, as a chain of down-sets.
  static DownSets OfOrder(const std::vector<int>& order);

  struct Cover {
    int unit;  // that is added
    int to;    // the set with it
  };

  int size() const { return static_cast<int>(first_cover_.size()) - 1; }
  int units() const { return units_; }
  bool Has(int set, int unit) const { return (words_[int64_t{set} * width_ + unit / 64] >> (unit % 64)) & 1; }
  // The sets of one unit more.
  absl::Span<const Cover> Covers(int set) const {
    return absl::MakeConstSpan(covers_).subspan(first_cover_[set], first_cover_[set + 1] - first_cover_[set]);
  }
  // By set: all sets that hold it and more, ascending.
  std::vector<std::vector<int>> Above() const;
  // How many pairs that makes, or `most` as soon as they are so many.
  int64_t CountPairs(int64_t most) const;
  // Units of `to` that are not in `from`, ascending.
  std::vector<int> Between(int from, int to) const;

 private:
  // Calls `visit` for every set above `set`, once; stops when it says false.
  void VisitAbove(int set, std::vector<int>* seen, const std::function<bool(int)>& visit) const;

  int units_ = 0, width_ = 0;
  std::vector<uint64_t> words_;  // `width_` of each set
  std::vector<int64_t> first_cover_;
  std::vector<Cover> covers_;
};

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_DOWN_SETS_H_
