#include "runtime/comm/collective_shape.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "runtime/comm/sum.h"

namespace millrace {
namespace {

bool IsSum(const Collective& collective) {
  return collective.kind == CollectiveKind::kReduceScatter || collective.kind == CollectiveKind::kAllReduce;
}

}  // namespace

std::vector<ShardExtent> ExtentsOf(const Collective& collective) {
  const uint64_t element = SizeOf(collective.dtype);
  std::vector<ShardExtent> extents;
  uint64_t offset = 0;
  for (uint64_t count : collective.shards.empty()
                            ? EvenShards(collective.count, static_cast<int>(collective.ranks.size()))
                            : collective.shards) {
    extents.push_back({offset, count * element});
    offset += count * element;
  }
  return extents;
}

int IndexInGroup(const Collective& collective, int rank) {
  const auto found = std::find(collective.ranks.begin(), collective.ranks.end(), rank);
  return found == collective.ranks.end() ? -1 : static_cast<int>(found - collective.ranks.begin());
}

absl::Status CheckCollective(const Collective& collective, int rank) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank, ", collective with tag ", collective.tag, ": ", why));
  };
  const std::vector<int>& ranks = collective.ranks;
  const bool ascending = std::is_sorted(ranks.begin(), ranks.end(), std::less_equal<int>());
  if (!ascending || IndexInGroup(collective, rank) < 0) {
    return wrong("the group is not in ascending order, or lacks this rank");
  }
  if (SizeOf(collective.dtype) == 0) return wrong("no type");
  if (IsSum(collective) && !HasSum(collective.dtype)) {
    return wrong(absl::StrCat(Name(collective.dtype), " has no sum; gather or broadcast it"));
  }
  if (!collective.shards.empty() &&
      (collective.shards.size() != ranks.size() ||
       std::accumulate(collective.shards.begin(), collective.shards.end(), uint64_t{0}) != collective.count)) {
    return wrong(absl::StrCat("the shards are not one for each rank, or do not sum to ", collective.count));
  }
  if (collective.kind == CollectiveKind::kBroadcast && IndexInGroup(collective, collective.root) < 0) {
    return wrong(absl::StrCat("root ", collective.root, " is not in the group"));
  }
  return absl::OkStatus();
}

std::vector<uint64_t> EvenShards(uint64_t count, int ranks) {
  std::vector<uint64_t> shards(ranks, count / ranks);
  for (uint64_t r = 0; r < count % ranks; ++r) ++shards[r];
  return shards;
}

uint64_t StagingBytes(const Collective& collective, int rank) {
  const int me = IndexInGroup(collective, rank);
  if (!IsSum(collective) || me < 0) return 0;
  if (!collective.shards.empty() && collective.shards.size() != collective.ranks.size()) return 0;  // Start refuses it
  return ExtentsOf(collective)[me].bytes * (collective.ranks.size() - 1);
}

}  // namespace millrace
