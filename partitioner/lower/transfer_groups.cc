#include "partitioner/lower/transfer_groups.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::TransferGroup;

class Groups {
 public:
  explicit Groups(proto::ExecutionPlan* plan) : plan_(*plan) {}

  void AddEdges(const proto::Program& program) {
    const int pipeline = PipelineRanks(plan_), replicas = std::max<int>(1, static_cast<int>(plan_.dp()));
    const std::vector<int> rank_of_stage = RankOfStages(program);
    for (const proto::Edge& edge : program.edges()) {
      const int from = rank_of_stage[edge.from_stage()], to = rank_of_stage[edge.to_stage()];
      if (from == to) continue;
      for (int replica = 0; replica < replicas; ++replica) {
        const int a = from + replica * pipeline, b = to + replica * pipeline;
        Add(absl::StrCat("edge ", a, " to ", b), {a, b}, TransferGroup::EDGES);
      }
    }
  }

  void AddTies(const proto::Bucket& bucket) {
    if (bucket.group_size() < 2) return;
    std::vector<std::vector<int>> places;
    for (uint32_t place : bucket.group()) places.push_back(RanksAt(plan_, static_cast<int>(place)));
    const size_t owners = places[0].size();
    const bool equal = std::all_of(places.begin(), places.end(), [&](const auto& p) { return p.size() == owners; });
    if (!equal) {  // pieces go from many to many
      std::vector<int> ranks;
      for (const std::vector<int>& there : places) ranks.insert(ranks.end(), there.begin(), there.end());
      return AddSet("ties", std::move(ranks), TransferGroup::TIES);
    }
    for (size_t replica = 0; replica < owners; ++replica) {
      std::vector<int> ranks;
      for (const std::vector<int>& there : places) ranks.push_back(there[replica]);
      AddSet("ties", std::move(ranks), TransferGroup::TIES);
    }
  }

  void AddReplicas(const proto::Bucket& bucket) {
    std::vector<int> ranks = RanksAt(plan_, static_cast<int>(bucket.owner()));
    if (ranks.size() > 1) AddSet("replicas", std::move(ranks), TransferGroup::REPLICAS);
  }

 private:
  void AddSet(const char* what, std::vector<int> ranks, TransferGroup::Carries carries) {
    std::sort(ranks.begin(), ranks.end());
    const std::string name = absl::StrCat(what, " ", absl::StrJoin(ranks, " "));
    Add(name, ranks, carries);
  }

  void Add(const std::string& name, const std::vector<int>& ranks, TransferGroup::Carries carries) {
    if (!names_.insert(name).second) return;
    TransferGroup& group = *plan_.add_transfer_groups();
    group.set_name(name);
    for (int rank : ranks) group.add_ranks(static_cast<uint32_t>(rank));
    group.set_directed(carries == TransferGroup::EDGES);
    group.set_carries(carries);
    group.set_bytes(kCommunicatorBytes * (ranks.size() - 1));
  }

  proto::ExecutionPlan& plan_;
  std::set<std::string> names_;
};

}  // namespace

void AddTransferGroups(proto::ExecutionPlan* plan) {
  if (plan->ranks_size() < 2) return;
  Groups groups(plan);
  for (const proto::Program& program : plan->programs()) groups.AddEdges(program);
  for (const proto::Bucket& bucket : plan->buckets()) groups.AddTies(bucket);
  for (const proto::Bucket& bucket : plan->buckets()) groups.AddReplicas(bucket);
  for (proto::Rank& rank : *plan->mutable_ranks()) {
    rank.set_outside_bytes(rank.outside_bytes() + kCommunicatorBytes);  // of the one of all ranks
  }
  for (const TransferGroup& group : plan->transfer_groups()) {
    for (uint32_t member : group.ranks()) {
      proto::Rank& rank = *plan->mutable_ranks(static_cast<int>(member));
      rank.set_outside_bytes(rank.outside_bytes() + group.bytes());
    }
  }
}

}  // namespace millrace
