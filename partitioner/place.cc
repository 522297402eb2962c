#include "partitioner/place.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "kernels/op_desc.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr int kMostRanks = 512;
constexpr int kMostRounds = 32;
constexpr double kWorthIt = 1e-3;

class Sums {
 public:
  void Add(int from, int to, uint64_t bytes, uint64_t transfers) {
    if (from == to) return;
    RankTraffic& sum = sums_.try_emplace({from, to}, RankTraffic{from, to}).first->second;
    sum.bytes += bytes;
    sum.transfers += transfers;
  }
  std::vector<RankTraffic> Take() const {
    std::vector<RankTraffic> all;
    for (const auto& [pair, sum] : sums_) all.push_back(sum);
    return all;
  }

 private:
  std::map<std::pair<int, int>, RankTraffic> sums_;
};

void AddBucket(const proto::ExecutionPlan& plan, const proto::Bucket& bucket, Sums* sums) {
  const int pipeline = PipelineRanks(plan), replicas = plan.ranks_size() / pipeline;
  const int owner = static_cast<int>(bucket.owner());
  uint64_t bytes = 0;
  for (uint32_t p : bucket.parameters()) bytes += TensorSpec::Of(plan.parameters(static_cast<int>(p)).type()).bytes();
  for (int k = 0; k < replicas; ++k) {
    // Gradients to the owner, weights back.
    for (uint32_t other : bucket.group()) {
      sums->Add(k * pipeline + static_cast<int>(other), k * pipeline + owner, bytes, 1);
      sums->Add(k * pipeline + owner, k * pipeline + static_cast<int>(other), bytes, 1);
    }
    // A shard to each replica when gradients are added, another when the whole is gathered.
    for (int other = 0; other < replicas; ++other) {
      sums->Add(k * pipeline + owner, other * pipeline + owner, 2 * bytes / replicas, 2);
    }
  }
}

bool Alike(const proto::ClusterDevice& a, const proto::ClusterDevice& b) {
  return a.kind() == b.kind() && a.memory_bytes() == b.memory_bytes() && a.flops_per_second() == b.flops_per_second() &&
         a.bytes_per_second() == b.bytes_per_second() && a.threads() == b.threads();
}

double SecondsOf(const RankTraffic& pair, const CostModel& costs, const std::vector<int>& device_of_rank) {
  const LinkRate rate = costs.LinkBetween(device_of_rank[pair.from], device_of_rank[pair.to]);
  return static_cast<double>(pair.transfers) * rate.latency + static_cast<double>(pair.bytes) / rate.bytes;
}

// Traffic by rank, and what a rank's transfers cost where it stands.
class Placement {
 public:
  Placement(const std::vector<RankTraffic>& traffic, const proto::Cluster& cluster, const CostModel& costs, int ranks)
      : traffic_(traffic), cluster_(cluster), costs_(costs), of_rank_(ranks) {
    for (size_t t = 0; t < traffic.size(); ++t) {
      of_rank_[traffic[t].from].push_back(static_cast<int>(t));
      of_rank_[traffic[t].to].push_back(static_cast<int>(t));
    }
  }

  // Trades places until no pair gains by it.
  void Descend(std::vector<int>* device_of_rank) const {
    const int ranks = static_cast<int>(of_rank_.size());
    for (int round = 0; round < kMostRounds; ++round) {
      bool traded = false;
      for (int a = 0; a < ranks; ++a) {
        for (int b = a + 1; b < ranks; ++b) traded = Trade(a, b, device_of_rank) || traded;
      }
      if (!traded) return;
    }
  }

 private:
  double Touching(int a, int b, const std::vector<int>& device_of_rank) const {
    double seconds = 0;
    for (int rank : {a, b}) {
      for (int t : of_rank_[rank]) {
        const RankTraffic& pair = traffic_[t];
        // What goes between the two counts once.
        if (rank == b && (pair.from == a || pair.to == a)) continue;
        seconds += SecondsOf(pair, costs_, device_of_rank);
      }
    }
    return seconds;
  }
  bool Trade(int a, int b, std::vector<int>* device_of_rank) const {
    std::vector<int>& devices = *device_of_rank;
    if (!Alike(cluster_.devices(devices[a]), cluster_.devices(devices[b]))) return false;
    const double before = Touching(a, b, devices);
    std::swap(devices[a], devices[b]);
    if (Touching(a, b, devices) < before * (1 - 1e-9)) return true;
    std::swap(devices[a], devices[b]);
    return false;
  }

  const std::vector<RankTraffic>& traffic_;
  const proto::Cluster& cluster_;
  const CostModel& costs_;
  std::vector<std::vector<int>> of_rank_;  // indices into traffic_
};

}  // namespace

std::vector<RankTraffic> TrafficOf(const proto::ExecutionPlan& plan) {
  Sums sums;
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return {};
  const int pipeline = PipelineRanks(plan);
  const std::vector<int> rank_of_stage = RankOfStages(*train);
  for (int first = 0; first < plan.ranks_size(); first += pipeline) {
    for (const proto::Edge& edge : train->edges()) {
      sums.Add(first + rank_of_stage[edge.from_stage()], first + rank_of_stage[edge.to_stage()],
               edge.bytes() * train->micro_batches(), train->micro_batches());
    }
  }
  for (const proto::Bucket& bucket : plan.buckets()) AddBucket(plan, bucket, &sums);
  return sums.Take();
}

double TrafficSeconds(const std::vector<RankTraffic>& traffic, const CostModel& costs,
                      const std::vector<int>& device_of_rank) {
  double seconds = 0;
  for (const RankTraffic& pair : traffic) seconds += SecondsOf(pair, costs, device_of_rank);
  return seconds;
}

std::vector<std::vector<int>> BetterPlaces(const std::vector<RankTraffic>& traffic, const proto::Cluster& cluster,
                                           const CostModel& costs, int pp) {
  const int ranks = cluster.devices_size();
  if (ranks < 2 || ranks > kMostRanks) return {};
  std::vector<int> listed(ranks), replicas_together(ranks);
  std::iota(listed.begin(), listed.end(), 0);
  const int replicas = ranks / pp;
  for (int rank = 0; rank < ranks; ++rank) replicas_together[rank] = rank % pp * replicas + rank / pp;
  const bool all_alike = std::all_of(cluster.devices().begin(), cluster.devices().end(),
                                     [&](const auto& device) { return Alike(device, cluster.devices(0)); });
  std::vector<std::vector<int>> starts = {listed};
  if (all_alike && replicas > 1 && pp > 1) starts.push_back(replicas_together);

  const Placement placement(traffic, cluster, costs, ranks);
  const double least = TrafficSeconds(traffic, costs, listed) * (1 - kWorthIt);
  std::vector<std::pair<double, std::vector<int>>> found;
  for (std::vector<int>& devices : starts) {
    placement.Descend(&devices);
    const double seconds = TrafficSeconds(traffic, costs, devices);
    if (seconds < least) found.emplace_back(seconds, devices);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::vector<int>> better;
  for (auto& [seconds, devices] : found) {
    if (better.empty() || better.back() != devices) better.push_back(std::move(devices));
  }
  return better;
}

}  // namespace millrace
