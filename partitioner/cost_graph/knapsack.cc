#include "partitioner/cost_graph/knapsack.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace millrace {
namespace {

constexpr size_t kMostPairs = 20'000;

struct Pair {
  double seconds = 0, bytes = 0;
  int before = -1, option = -1;  // of the item before, and how it was continued
};

// Ascending in bytes, descending in seconds.
void KeepBest(std::vector<Pair>* pairs) {
  std::sort(pairs->begin(), pairs->end(), [](const Pair& a, const Pair& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.seconds < b.seconds;
  });
  size_t kept = 0;
  for (const Pair& pair : *pairs) {
    if (kept > 0 && pair.seconds >= (*pairs)[kept - 1].seconds) continue;
    (*pairs)[kept++] = pair;
  }
  pairs->resize(kept);
  if (kept <= kMostPairs) return;
  std::vector<Pair> thinned;
  const size_t step = (kept + kMostPairs - 1) / kMostPairs;
  for (size_t i = 0; i < kept; i += step) thinned.push_back((*pairs)[i]);
  *pairs = std::move(thinned);
}

}  // namespace

std::optional<KnapsackChoice> LeastSeconds(const std::vector<std::vector<KnapsackOption>>& items, double limit) {
  // Bytes that the items from i on take at least: what cannot end within the limit is not begun.
  std::vector<double> least(items.size() + 1, 0);
  double fastest_bytes = 0;
  KnapsackChoice fastest;
  for (size_t i = items.size(); i-- > 0;) {
    double bytes = std::numeric_limits<double>::infinity();
    for (const KnapsackOption& option : items[i]) bytes = std::min(bytes, option.bytes);
    least[i] = least[i + 1] + bytes;
  }
  if (least[0] > limit) return std::nullopt;
  for (const std::vector<KnapsackOption>& item : items) {
    const auto best = std::min_element(item.begin(), item.end(), [](const KnapsackOption& a, const KnapsackOption& b) {
      return a.seconds != b.seconds ? a.seconds < b.seconds : a.bytes < b.bytes;
    });
    fastest.options.push_back(static_cast<int>(best - item.begin()));
    fastest.seconds += best->seconds;
    fastest_bytes += best->bytes;
  }
  if (fastest_bytes <= limit) return fastest;
  std::vector<std::vector<Pair>> pairs(items.size() + 1);
  pairs[0].push_back({});
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t p = 0; p < pairs[i].size(); ++p) {
      for (size_t o = 0; o < items[i].size(); ++o) {
        const Pair next{pairs[i][p].seconds + items[i][o].seconds, pairs[i][p].bytes + items[i][o].bytes,
                        static_cast<int>(p), static_cast<int>(o)};
        if (next.bytes + least[i + 1] <= limit) pairs[i + 1].push_back(next);
      }
    }
    KeepBest(&pairs[i + 1]);
    if (pairs[i + 1].empty()) return std::nullopt;
  }
  // The last pair takes most bytes and least seconds.
  KnapsackChoice choice{pairs.back().back().seconds, std::vector<int>(items.size())};
  for (size_t i = items.size(), p = pairs.back().size() - 1; i-- > 0;) {
    const Pair& pair = pairs[i + 1][p];
    choice.options[i] = pair.option;
    p = static_cast<size_t>(pair.before);
  }
  return choice;
}

}  // namespace millrace
