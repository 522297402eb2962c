#include "partitioner/search/links.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

// Members in a host of groups of `ranks` that follow each other `stride` devices apart.
int64_t InHost(int64_t ranks, int64_t stride, int64_t host) {
  if (stride >= host) return 1;
  return host % stride == 0 ? std::gcd(ranks, host / stride) : 1;
}

std::string GroupText(absl::string_view what, const RankGroup& group) {
  if (group.in_host >= group.ranks) return absl::StrCat(what, " inside hosts");
  return absl::StrCat(what, " between hosts, ", group.in_host, " in each");
}

}  // namespace

LinkUse LinksOf(const Configuration& c, const PaperMachine& machine) {
  const int64_t host = machine.devices_per_host, t = c.tensor_parallel, p = c.pipeline, d = c.replicas;
  const bool replicas_together = c.placement == Placement::kReplicasTogether;
  LinkUse use;
  use.tensor = {.ranks = t, .in_host = InHost(t, 1, host)};
  use.replicas = {.ranks = d, .in_host = InHost(d, replicas_together ? t : t * p, host)};
  const int64_t stage_stride = replicas_together ? t * d : t;
  const int64_t replica_stride = replicas_together ? t : t * p;
  use.inside.resize(p);
  for (int64_t r = 0; r < p; ++r) {
    bool inside = true;
    for (int64_t replica = 0; replica < d && inside; ++replica) {
      const int64_t from = r * stage_stride + replica * replica_stride;
      const int64_t to = (r + 1) % p * stage_stride + replica * replica_stride;
      inside = from / host == to / host;
    }
    use.inside[r] = inside;
  }
  return use;
}

std::string LinksText(const Configuration& c, const PaperMachine& machine) {
  const LinkUse use = LinksOf(c, machine);
  std::vector<std::string> parts;
  if (c.tensor_parallel > 1) parts.push_back(GroupText("tensor-parallel", use.tensor));
  if (c.pipeline > 1) {
    const int64_t edges = c.pipeline - 1;
    const int64_t inside = std::count(use.inside.begin(), use.inside.end() - 1, true);
    parts.push_back(inside == edges ? "stages inside hosts"
                    : inside == 0   ? "stages between hosts"
                                    : absl::StrCat("stages inside hosts on ", inside, " of ", edges, " edges"));
  }
  if (c.replicas > 1) parts.push_back(GroupText("replicas", use.replicas));
  return parts.empty() ? "one device" : absl::StrJoin(parts, "; ");
}

}  // namespace millrace
