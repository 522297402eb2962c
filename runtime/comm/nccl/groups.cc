#include "runtime/comm/nccl/groups.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

// Bits of TagKind.
uint32_t TagClassesOf(proto::TransferGroup::Carries carries) {
  switch (carries) {
    case proto::TransferGroup::EDGES:
      return 1;
    case proto::TransferGroup::TIES:
      return 2 | 4;
    case proto::TransferGroup::REPLICAS:
      return 8;
    default:
      return 0xf;
  }
}

bool Has(const NcclGroup& group, int rank) {
  return std::find(group.ranks.begin(), group.ranks.end(), rank) != group.ranks.end();
}

bool SameGroup(const NcclGroup& a, const NcclGroup& b) {
  return a.ranks == b.ranks && a.directed == b.directed && (a.tag_classes & b.tag_classes) != 0;
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
  std::vector<NcclGroup> groups;
  for (const proto::TransferGroup& planned : plan.transfer_groups()) {
    NcclGroup& group = groups.emplace_back();
    group.name = planned.name();
    group.ranks.assign(planned.ranks().begin(), planned.ranks().end());
    group.directed = planned.directed();
    group.tag_classes = TagClassesOf(planned.carries());
  }
  return groups;
}

std::vector<NcclGroup> AllPairs(int size) {
  std::vector<NcclGroup> groups;
  for (int from = 0; from < size; ++from) {
    for (int to = 0; to < size; ++to) {
      if (from == to) continue;
      groups.push_back({absl::StrCat("edge ", from, " to ", to), {from, to}, /*directed=*/true});
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
