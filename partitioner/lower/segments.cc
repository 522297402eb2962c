#include "partitioner/lower/segments.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "partitioner/cost/graph_costs.h"

namespace millrace {
namespace {

constexpr int kMostSegments = 64;  // looked at when the number is free

// A tensor made at one position and last read at another.
struct Made {
  int root = 0;
  int at = 0, last_read = 0;
  uint64_t bytes = 0;
};

class Divider {
 public:
  Divider(const Graph& graph, const std::vector<int>& nodes, int in_flight)
      : positions_(static_cast<int>(nodes.size())), in_flight_(in_flight) {
    absl::flat_hash_map<int, int> made_as;  // root -> index into made_
    for (int p = 0; p < positions_; ++p) {
      const GraphNode& node = graph.nodes[nodes[p]];
      if (IsView(graph, node)) continue;
      for (int v : node.inputs) {
        const auto found = v < 0 ? made_as.end() : made_as.find(graph.Root(v));
        if (found != made_as.end()) made_[found->second].last_read = p;
      }
      for (int v : node.outputs) {
        if (v < 0 || graph.values[v].kind != GraphValue::Kind::kActivation) continue;
        if (!made_as.emplace(v, static_cast<int>(made_.size())).second) continue;
        made_.push_back({v, p, p, static_cast<uint64_t>(graph.values[v].spec.bytes())});
      }
    }
    FindPlaces();
  }

  Segments Divide(int segments) const {
    if (segments > 0) return Into(segments);
    Segments best = Into(1);
    uint64_t least = Bytes(best);
    const int most = std::min(kMostSegments, static_cast<int>(places_.size()) + 1);
    for (int n = 2; n <= most; ++n) {
      Segments candidate = Into(n);
      const uint64_t bytes = Bytes(candidate);
      if (bytes >= least) continue;
      least = bytes;
      best = std::move(candidate);
    }
    return best;
  }

 private:
  void FindPlaces() {
    std::vector<uint64_t> crossing(positions_ + 1, 0);  // [p]: bytes made before p and read at p or later
    until_.assign(positions_ + 1, 0);
    for (const Made& made : made_) {
      until_[made.at + 1] += made.bytes;
      crossing[made.at + 1] += made.bytes;
      if (made.last_read + 1 <= positions_) crossing[made.last_read + 1] -= made.bytes;
    }
    for (int p = 1; p <= positions_; ++p) {
      until_[p] += until_[p - 1];
      crossing[p] += crossing[p - 1];
    }
    for (int p = 1; p < positions_; ++p) {
      if (crossing[p] == 0 || crossing[p] > crossing[p + 1]) continue;
      if (p > 1 && crossing[p] > crossing[p - 1]) continue;
      places_.push_back(p);
    }
  }

  // The places nearest to equal shares of the bytes.
  Segments Into(int segments) const {
    Segments result;
    result.first = {0};
    for (int s = 1; s < segments; ++s) {
      const double ideal = static_cast<double>(until_[positions_]) * s / segments;
      int best = -1;
      double distance = std::numeric_limits<double>::infinity();
      for (int place : places_) {
        const double off = std::abs(static_cast<double>(until_[place]) - ideal);
        if (place <= result.first.back() || off >= distance) continue;
        best = place;
        distance = off;
      }
      if (best < 0) break;
      result.first.push_back(best);
    }
    for (const Made& made : made_) {
      if (SegmentOf(result, made.at) != SegmentOf(result, made.last_read)) result.kept.push_back(made.root);
    }
    return result;
  }

  static int SegmentOf(const Segments& segments, int position) {
    return static_cast<int>(std::upper_bound(segments.first.begin(), segments.first.end(), position) -
                            segments.first.begin()) -
           1;
  }

  uint64_t Bytes(const Segments& segments) const {
    uint64_t kept = 0;
    std::vector<uint64_t> of_segment(segments.first.size(), 0);
    for (const Made& made : made_) {
      const int segment = SegmentOf(segments, made.at);
      (segment != SegmentOf(segments, made.last_read) ? kept : of_segment[segment]) += made.bytes;
    }
    return kept * static_cast<uint64_t>(in_flight_) + *std::max_element(of_segment.begin(), of_segment.end());
  }

  const int positions_, in_flight_;
  std::vector<Made> made_;
  std::vector<uint64_t> until_;  // [p]: bytes made before position p
  std::vector<int> places_;      // positions where a segment may begin
};

}  // namespace

Segments DivideForward(const Graph& graph, const std::vector<int>& nodes, int segments, int in_flight) {
  if (nodes.empty()) return {{0}, {}};
  return Divider(graph, nodes, std::max(1, in_flight)).Divide(segments);
}

}  // namespace millrace
