#include "partitioner/cut/balanced.h"

#include <algorithm>
#include <limits>

#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int kMostUnits = 1024;
constexpr double kNever = std::numeric_limits<double>::infinity();

// What crosses the border of units [begin, end), for all pairs.
class Borders {
 public:
  Borders(const Chain& chain, const LinkSecondsFn& link_seconds)
      : units_(chain.units.size()), seconds_(Index(units_, 0)), bytes_(seconds_.size()) {
    std::vector<std::vector<int>> tensors_of_unit(units_);
    std::vector<double> link;
    for (size_t t = 0; t < chain.tensors.size(); ++t) {
      link.push_back(link_seconds(chain.tensors[t].bytes));
      for (int u : chain.tensors[t].units) tensors_of_unit[u].push_back(static_cast<int>(t));
    }
    std::vector<size_t> inside(chain.tensors.size());
    for (size_t begin = 0; begin < units_; ++begin) {
      std::fill(inside.begin(), inside.end(), 0);
      double seconds = 0;
      uint64_t bytes = 0;
      for (size_t u = begin; u < units_; ++u) {
        for (int t : tensors_of_unit[u]) {
          const ChainTensor& tensor = chain.tensors[t];
          ++inside[t];
          if (inside[t] == 1) {
            seconds += link[t];
            bytes += tensor.bytes;
          }
          if (inside[t] == tensor.units.size()) {
            seconds -= link[t];
            bytes -= tensor.bytes;
          }
        }
        seconds_[Index(begin, u)] = std::max(0.0, seconds);
        bytes_[Index(begin, u)] = bytes;
      }
    }
  }

  double Seconds(int begin, int end) const { return seconds_[Index(begin, end - 1)]; }
  uint64_t Bytes(int begin, int end) const { return bytes_[Index(begin, end - 1)]; }

 private:
  size_t Index(size_t begin, size_t last) const { return begin * units_ + last; }

  size_t units_;
  std::vector<double> seconds_;
  std::vector<uint64_t> bytes_;
};

class Balancer {
 public:
  Balancer(const Chain& chain, const std::vector<int>& devices, const LinkSecondsFn& link_seconds)
      : units_(static_cast<int>(chain.units.size())),
        stages_(static_cast<int>(devices.size())),
        devices_(devices),
        borders_(chain, link_seconds) {
    const size_t kinds = chain.units.empty() ? 0 : chain.units[0].forward.size();
    before_.assign(kinds, std::vector<double>(units_ + 1, 0));
    for (size_t d = 0; d < kinds; ++d) {
      for (int u = 0; u < units_; ++u) before_[d][u + 1] = before_[d][u] + chain.Seconds(u, static_cast<int>(d));
    }
  }

  double Seconds(int stage, int begin, int end) const {
    const std::vector<double>& before = before_[devices_[stage]];
    return before[end] - before[begin] + borders_.Seconds(begin, end);
  }

  Cut Best() const {
    const double slowest = Slowest();
    // fewest[s][e]: border bytes of stages 0 .. s over units [0, e), none slower than `slowest`.
    std::vector<std::vector<double>> fewest(stages_, std::vector<double>(units_ + 1, kNever));
    std::vector<std::vector<int>> begin_of(stages_, std::vector<int>(units_ + 1, -1));
    for (int s = 0; s < stages_; ++s) {
      for (int end = s + 1; end <= units_; ++end) {
        for (int begin = s; begin < end; ++begin) {
          const double before = s == 0 ? (begin == 0 ? 0 : kNever) : fewest[s - 1][begin];
          if (before == kNever || Seconds(s, begin, end) > slowest) continue;
          const double bytes = before + static_cast<double>(borders_.Bytes(begin, end));
          if (bytes < fewest[s][end]) fewest[s][end] = bytes, begin_of[s][end] = begin;
        }
      }
    }
    Cut cut;
    cut.first_unit.assign(stages_, 0);
    for (int s = stages_ - 1, end = units_; s >= 0; --s) end = cut.first_unit[s] = begin_of[s][end];
    return cut;
  }

 private:
  double Slowest() const {
    std::vector<double> best(units_ + 1, kNever);  // of the stages so far, over units [0, e)
    best[0] = 0;
    for (int s = 0; s < stages_; ++s) {
      std::vector<double> next(units_ + 1, kNever);
      for (int end = s + 1; end <= units_; ++end) {
        for (int begin = s; begin < end; ++begin) {
          if (best[begin] < next[end]) next[end] = std::min(next[end], std::max(best[begin], Seconds(s, begin, end)));
        }
      }
      best = std::move(next);
    }
    return best[units_];
  }

  const int units_, stages_;
  const std::vector<int>& devices_;
  const Borders borders_;
  std::vector<std::vector<double>> before_;  // by device: seconds of the units before each one
};

// Joins `group` neighbouring units each.
Chain Coarsened(const Chain& chain, int group) {
  Chain coarse;
  for (size_t u = 0; u < chain.units.size(); ++u) {
    const ChainUnit& unit = chain.units[u];
    if (u % group == 0) {
      coarse.units.push_back(unit);
      continue;
    }
    ChainUnit& joined = coarse.units.back();
    for (size_t d = 0; d < unit.forward.size(); ++d) {
      joined.forward[d] += unit.forward[d];
      joined.backward[d] += unit.backward[d];
      joined.weight[d] += unit.weight[d];
    }
  }
  for (ChainTensor tensor : chain.tensors) {
    for (int& u : tensor.units) u /= group;
    tensor.units.erase(std::unique(tensor.units.begin(), tensor.units.end()), tensor.units.end());
    if (tensor.units.size() > 1) coarse.tensors.push_back(std::move(tensor));
  }
  return coarse;
}

}  // namespace

absl::StatusOr<Cut> BalancedCut(const Chain& chain, const std::vector<int>& device_of_stage,
                                const LinkSecondsFn& link_seconds) {
  MR_RETURN_IF_ERROR(CheckStageCount(chain, static_cast<int>(device_of_stage.size())));
  const int units = static_cast<int>(chain.units.size());
  const int most = std::max(kMostUnits, static_cast<int>(device_of_stage.size()));
  const int group = units / most;  // rounded down: enough are left for every stage
  if (group < 2) return Balancer(chain, device_of_stage, link_seconds).Best();
  Cut cut = Balancer(Coarsened(chain, group), device_of_stage, link_seconds).Best();
  for (int& unit : cut.first_unit) unit *= group;
  return cut;
}

StageWeight WeighStage(const Chain& chain, int begin, int end, int device, const LinkSecondsFn& link_seconds) {
  StageWeight weight;
  for (int u = begin; u < end; ++u) weight.seconds += chain.Seconds(u, device);
  for (const ChainTensor& tensor : chain.tensors) {
    bool inside = false, outside = false;
    for (int u : tensor.units) (u >= begin && u < end ? inside : outside) = true;
    if (!inside || !outside) continue;
    weight.seconds += link_seconds(tensor.bytes);
    weight.bytes += tensor.bytes;
  }
  return weight;
}

}  // namespace millrace
