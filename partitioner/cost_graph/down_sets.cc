#include "partitioner/cost_graph/down_sets.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace millrace {

absl::StatusOr<DownSets> DownSets::Of(const std::vector<std::vector<int>>& before, int most) {
  DownSets sets;
  sets.units_ = static_cast<int>(before.size());
  sets.width_ = (sets.units_ + 63) / 64;
  const int width = sets.width_;
  std::vector<std::vector<int>> after(before.size());
  for (int u = 0; u < sets.units_; ++u) {
    for (int b : before[u]) after[b].push_back(u);
  }
  const auto key_of = [width](const uint64_t* words) {
    return std::string(reinterpret_cast<const char*>(words), sizeof(uint64_t) * width);
  };
  // Sets of one size after the other. What can be added to a set could be added to the one it was made from, or comes
  // right after the unit that made the difference.
  absl::flat_hash_map<std::string, int> known;              // of the size that is being made
  std::vector<std::pair<int, int>> made_from = {{-1, -1}};  // by set: another one, and the unit added
  sets.words_.assign(width, 0);
  sets.first_cover_ = {0};
  int count = 1;
  for (int set = 0, end_of_size = 1; set < count; ++set) {
    if (set == end_of_size) {
      known.clear();
      end_of_size = count;
    }
    std::vector<int> ready;
    const auto [parent, added] = made_from[set];
    for (int u = 0; parent < 0 && u < sets.units_; ++u) {
      if (before[u].empty()) ready.push_back(u);
    }
    if (parent >= 0) {
      for (const Cover& cover : sets.Covers(parent)) {
        if (cover.unit != added) ready.push_back(cover.unit);
      }
      for (int u : after[added]) {
        const bool all = std::all_of(before[u].begin(), before[u].end(), [&](int b) { return sets.Has(set, b); });
        if (all && std::find(ready.begin(), ready.end(), u) == ready.end()) ready.push_back(u);
      }
    }
    std::vector<uint64_t> words(sets.words_.begin() + int64_t{set} * width,
                                sets.words_.begin() + int64_t{set + 1} * width);
    for (int u : ready) {
      words[u / 64] ^= uint64_t{1} << (u % 64);
      const auto [found, is_new] = known.emplace(key_of(words.data()), count);
      if (is_new) {
        if (++count > most) {
          return absl::ResourceExhaustedError(absl::StrCat("the graph has more than ", most, " down-sets"));
        }
        sets.words_.insert(sets.words_.end(), words.begin(), words.end());
        made_from.emplace_back(set, u);
      }
      sets.covers_.push_back({u, found->second});
      words[u / 64] ^= uint64_t{1} << (u % 64);
    }
    sets.first_cover_.push_back(static_cast<int64_t>(sets.covers_.size()));
  }
  for (int u = 0; u < sets.units_; ++u) {
    if (!sets.Has(count - 1, u)) {
      return absl::InvalidArgumentError(absl::StrCat("unit ", u, " is on a cycle"));
    }
  }
  return sets;
}

DownSets DownSets::OfOrder(const std::vector<int>& order) {
  DownSets sets;
  sets.units_ = static_cast<int>(order.size());
  sets.width_ = (sets.units_ + 63) / 64;
  std::vector<uint64_t> words(sets.width_, 0);
  sets.words_ = words;
  sets.first_cover_ = {0};
  for (int i = 0; i < sets.units_; ++i) {
    words[order[i] / 64] |= uint64_t{1} << (order[i] % 64);
    sets.words_.insert(sets.words_.end(), words.begin(), words.end());
    sets.covers_.push_back({order[i], i + 1});
    sets.first_cover_.push_back(i + 1);
  }
  sets.first_cover_.push_back(sets.units_);
  return sets;
}

void DownSets::VisitAbove(int set, std::vector<int>* seen, const std::function<bool(int)>& visit) const {
  std::vector<int> open = {set};
  while (!open.empty()) {
    const int at = open.back();
    open.pop_back();
    for (const Cover& cover : Covers(at)) {
      if (std::exchange((*seen)[cover.to], set) == set) continue;
      if (!visit(cover.to)) return;
      open.push_back(cover.to);
    }
  }
}

std::vector<std::vector<int>> DownSets::Above() const {
  std::vector<std::vector<int>> above(size());
  std::vector<int> seen(size(), -1);
  for (int set = 0; set < size(); ++set) {
    VisitAbove(set, &seen, [&](int up) {
      above[set].push_back(up);
      return true;
    });
    std::sort(above[set].begin(), above[set].end());
  }
  return above;
}

int64_t DownSets::CountPairs(int64_t most) const {
  std::vector<int> seen(size(), -1);
  int64_t pairs = 0;
  for (int set = 0; set < size() && pairs < most; ++set) {
    VisitAbove(set, &seen, [&](int) { return ++pairs < most; });
  }
  return pairs;
}

std::vector<int> DownSets::Between(int from, int to) const {
  std::vector<int> units;
  for (int u = 0; u < units_; ++u) {
    if (Has(to, u) && !Has(from, u)) units.push_back(u);
  }
  return units;
}

}  // namespace millrace
