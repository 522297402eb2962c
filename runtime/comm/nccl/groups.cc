#include "runtime/comm/nccl/groups.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr uint32_t kEdges = 1, kTies = 2 | 4, kReplicas = 8;  // bits of TagKind

bool Has(const NcclGroup& group, int rank) {
  return std::find(group.ranks.begin(), group.ranks.end(), rank) != group.ranks.end();
}

bool SameGroup(const NcclGroup& a, const NcclGroup& b) {
  return a.ranks == b.ranks && a.directed == b.directed && (a.tag_classes & b.tag_classes) != 0;
}

void AddOnce(NcclGroup group, std::vector<NcclGroup>* groups) {
  const auto same = [&](const NcclGroup& other) { return SameGroup(group, other); };
  if (std::none_of(groups->begin(), groups->end(), same)) groups->push_back(std::move(group));
}

NcclGroup Edge(int from, int to) {
  return {absl::StrCat("edge ", from, " to ", to), {from, to}, /*directed=*/true, kEdges};
}

NcclGroup Set(const char* name, std::vector<int> ranks, uint32_t tag_classes) {
  std::sort(ranks.begin(), ranks.end());
  return {absl::StrCat(name, " ", absl::StrJoin(ranks, " ")), std::move(ranks), /*directed=*/false, tag_classes};
}

}  // namespace

absl::Status CheckGroups(const std::vector<NcclGroup>& groups, int size) {
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto wrong = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("NCCL group ", g, " (", groups[g].name, ": ", absl::StrJoin(groups[g].ranks, " "), "): ", why));
    };
    const std::vector<int>& ranks = groups[g].ranks;
    if (ranks.size() < 2 || (groups[g].directed && ranks.size() != 2)) return wrong("it has too few ranks or too many");
    for (int rank : ranks) {
      if (rank < 0 || rank >= size) return wrong(absl::StrCat("there are ", size, " ranks"));
    }
    if (groups[g].directed ? ranks[0] == ranks[1]
                           : !std::is_sorted(ranks.begin(), ranks.end(), std::less_equal<int>())) {
      return wrong("its ranks are not in ascending order, or one is there twice");
    }
    for (size_t other = 0; other < g; ++other) {
      if (SameGroup(groups[g], groups[other])) return wrong(absl::StrCat("it is the same as group ", other));
    }
  }
  return absl::OkStatus();
}

std::vector<NcclGroup> GroupsOf(const proto::ExecutionPlan& plan) {
  const int pipeline = PipelineRanks(plan), replicas = std::max<int>(1, static_cast<int>(plan.dp()));
  std::vector<NcclGroup> groups;
  for (const proto::Program& program : plan.programs()) {
    std::vector<int> rank_of_stage(program.stages_size(), -1);
    for (const proto::RankProgram& rank : program.ranks()) {
      for (uint32_t stage : rank.stages()) {
        if (stage < rank_of_stage.size()) rank_of_stage[stage] = static_cast<int>(rank.rank());
      }
    }
    for (const proto::Edge& edge : program.edges()) {
      if (edge.from_stage() >= rank_of_stage.size() || edge.to_stage() >= rank_of_stage.size()) continue;
      const int from = rank_of_stage[edge.from_stage()], to = rank_of_stage[edge.to_stage()];
      if (from < 0 || to < 0 || from == to) continue;  // the verifier has refused it, or it is an alias
      for (int replica = 0; replica < replicas; ++replica) {
        AddOnce(Edge(from + replica * pipeline, to + replica * pipeline), &groups);
      }
    }
  }
  for (const proto::Bucket& bucket : plan.buckets()) {
    if (bucket.group_size() < 2) continue;
    const size_t owners = RanksAt(plan, static_cast<int>(bucket.owner())).size();
    for (size_t replica = 0; replica < owners; ++replica) {
      std::vector<int> ranks;
      for (uint32_t place : bucket.group()) {
        const std::vector<int> there = RanksAt(plan, static_cast<int>(place));
        if (replica < there.size()) ranks.push_back(there[replica]);
      }
      AddOnce(Set("ties", std::move(ranks), kTies), &groups);
    }
  }
  for (const proto::Bucket& bucket : plan.buckets()) {
    std::vector<int> ranks = RanksAt(plan, static_cast<int>(bucket.owner()));
    if (ranks.size() > 1) AddOnce(Set("replicas", std::move(ranks), kReplicas), &groups);
  }
  return groups;
}

std::vector<NcclGroup> AllPairs(int size) {
  std::vector<NcclGroup> groups;
  for (int from = 0; from < size; ++from) {
    for (int to = 0; to < size; ++to) {
      if (from == to) continue;
      groups.push_back(Edge(from, to));
      groups.back().tag_classes = 0xf;
    }
  }
  return groups;
}

std::vector<std::vector<int>> SplitRounds(const std::vector<NcclGroup>& groups) {
  std::vector<std::vector<int>> rounds;
  const auto clash = [&](int a, int b) {
    return std::any_of(groups[a].ranks.begin(), groups[a].ranks.end(), [&](int rank) { return Has(groups[b], rank); });
  };
  for (int g = 0; g < static_cast<int>(groups.size()); ++g) {
    auto round = std::find_if(rounds.begin(), rounds.end(), [&](const std::vector<int>& members) {
      return std::none_of(members.begin(), members.end(), [&](int member) { return clash(g, member); });
    });
    if (round == rounds.end()) round = rounds.emplace(rounds.end());
    round->push_back(g);
  }
  return rounds;
}

GroupRoutes::GroupRoutes(const std::vector<NcclGroup>& groups, int rank, int size)
    : size_(size), table_(static_cast<size_t>(4) * 2 * size, -1) {
  for (uint64_t tag_class = 0; tag_class < 4; ++tag_class) {
    for (int send = 0; send < 2; ++send) {
      for (int peer = 0; peer < size; ++peer) {
        if (peer == rank) continue;
        int& group = table_[(tag_class * 2 + send) * size + peer];
        for (size_t g = 0; g < groups.size() && group < 0; ++g) {
          const std::vector<int>& ranks = groups[g].ranks;
          const bool takes = groups[g].directed ? ranks[send ? 0 : 1] == rank && ranks[send ? 1 : 0] == peer
                                                : Has(groups[g], rank) && Has(groups[g], peer);
          if (takes && (groups[g].tag_classes >> tag_class & 1)) group = static_cast<int>(g);
        }
      }
    }
  }
}

}  // namespace millrace
