// What fills each stage.
#include <algorithm>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/strip.h"
#include "tools/report/explanation.h"

namespace millrace {
namespace {

constexpr size_t kLargest = 8, kHeaviest = 5;

std::string KindOf(proto::Life life) {
  switch (life) {
    case proto::PARAMETER:
      return "weights";
    case proto::GRADIENT:
      return "gradients";
    case proto::OPTIMIZER:
      return "optimizer";
    case proto::PACKED:
      return "packed";
    case proto::STASH_FB:
    case proto::STASH_FW:
    case proto::STASH_BW:
    case proto::STASH_FR:
    case proto::STASH_RB:
      return "stash";
    case proto::SENT:
    case proto::RECEIVED:
      return "edges";
    case proto::SCRATCH:
      return "scratch";
    default:
      return "other";
  }
}

int64_t Elements(const proto::TensorType& type) {
  int64_t n = 1;
  for (int64_t d : type.dims()) n *= d;
  return n;
}

int RankOfStage(const proto::Program& program, int stage) {
  for (const proto::RankProgram& rank : program.ranks()) {
    for (uint32_t s : rank.stages()) {
      if (static_cast<int>(s) == stage) return static_cast<int>(rank.rank());
    }
  }
  return 0;
}

std::map<std::string, uint64_t> BytesByKind(const proto::ExecutionPlan& plan, const proto::RankProgram& rank) {
  std::map<std::string, uint64_t> bytes;
  for (const proto::Region& region : plan.ranks(static_cast<int>(rank.rank())).regions()) {
    if (region.life() != proto::SCRATCH && region.life() != proto::LIFE_UNSPECIFIED) {
      bytes[KindOf(region.life())] += region.bytes();
    }
  }
  for (const proto::Pool& pool : rank.pools()) bytes[KindOf(pool.life())] += pool.stride() * pool.slots();
  bytes["scratch"] += rank.scratch_bytes();
  return bytes;
}

bool Kept(proto::Life life) {
  switch (life) {
    case proto::STASH_FB:
    case proto::STASH_FW:
    case proto::STASH_BW:
    case proto::STASH_FR:
    case proto::STASH_RB:
    case proto::SENT:
      return true;
    default:
      return false;
  }
}

// The node that a call belongs to: gradients of node n are named "n/Op", copies for recomputation "again/n".
std::string BaseOf(absl::string_view node, const absl::flat_hash_set<std::string>& known) {
  absl::ConsumePrefix(&node, "again/");
  for (size_t slash = node.rfind('/'); slash != absl::string_view::npos && known.contains(node.substr(0, slash));) {
    node = node.substr(0, slash);
    slash = node.rfind('/');
  }
  return std::string(node);
}

// The calls of a stage, added up under the nodes of the graph that they come from.
std::vector<NodeShare> NodesOf(const proto::StageProgram& stage) {
  absl::flat_hash_set<std::string> known(stage.nodes().begin(), stage.nodes().end());
  absl::flat_hash_map<std::string, size_t> index;
  std::vector<NodeShare> shares;
  absl::flat_hash_set<std::pair<size_t, int>> counted;  // (share, value)
  for (const proto::PhaseProgram& phase : stage.phases()) {
    for (const proto::KernelCall& call : phase.calls()) {
      const std::string base = BaseOf(call.node(), known);
      const auto [found, is_new] = index.try_emplace(base, shares.size());
      if (is_new) shares.push_back({base});
      NodeShare& share = shares[found->second];
      share.seconds += call.seconds();
      const auto add = [&, at = found->second](const auto& values, bool results) {
        for (int v : values) {
          if (v < 0 || v >= stage.values_size() || !counted.insert({at, v}).second) continue;
          const proto::Value& value = stage.values(v);
          if (value.life() == proto::PARAMETER) share.parameter_bytes += value.bytes();
          if (results && Kept(value.life())) share.kept_bytes += value.bytes();
        }
      };
      add(call.outputs(), true);
      add(call.inputs(), false);
    }
  }
  return shares;
}

// The first `most` by what `size` says of them, without those of size 0.
template <typename Size>
std::vector<NodeShare> First(std::vector<NodeShare> shares, size_t most, Size size) {
  std::stable_sort(shares.begin(), shares.end(),
                   [&](const NodeShare& a, const NodeShare& b) { return size(a) > size(b); });
  if (shares.size() > most) shares.resize(most);
  while (!shares.empty() && !(size(shares.back()) > 0)) shares.pop_back();
  return shares;
}

std::vector<std::string> ForwardNodes(const proto::StageProgram& stage) {
  std::vector<std::string> nodes;
  for (const proto::PhaseProgram& phase : stage.phases()) {
    if (phase.phase() != proto::F) continue;
    for (const proto::KernelCall& call : phase.calls()) nodes.push_back(call.node());
  }
  return nodes;
}

StageFigures FiguresOf(const proto::ExecutionPlan& plan, const proto::Program& program, int s) {
  const proto::StageProgram& stage = program.stages(s);
  StageFigures f;
  f.stage = s;
  f.rank = RankOfStage(program, s);
  f.nodes = stage.nodes_size();
  f.forward_nodes = ForwardNodes(stage);
  for (const proto::PhaseProgram& phase : stage.phases()) {
    if (phase.phase() == proto::F) f.forward = phase.seconds();
    if (phase.phase() == proto::B || phase.phase() == proto::BW) f.backward = phase.seconds();
    if (phase.phase() == proto::W) f.weight = phase.seconds();
    if (phase.phase() == proto::R) f.recompute = phase.seconds();
  }
  std::set<std::string> used;
  for (const proto::Value& value : stage.values()) {
    if (value.life() == proto::PARAMETER) used.insert(value.name());
  }
  for (const proto::PlannedParameter& parameter : plan.parameters()) {
    if (!parameter.constant() && used.count(parameter.name())) f.parameters += Elements(parameter.type());
  }
  f.bytes = BytesByKind(plan, program.ranks(f.rank));
  f.arena = plan.ranks(f.rank).arena_bytes();
  const std::vector<NodeShare> nodes = NodesOf(stage);
  f.largest = First(nodes, kLargest, [](const NodeShare& node) { return node.seconds; });
  f.heaviest = First(nodes, kHeaviest, [](const NodeShare& node) { return node.bytes(); });
  return f;
}

}  // namespace

std::vector<StageFigures> FiguresOfStages(const proto::ExecutionPlan& plan, const proto::Program& program) {
  std::vector<StageFigures> all;
  for (int s = 0; s < program.stages_size(); ++s) all.push_back(FiguresOf(plan, program, s));
  return all;
}

}  // namespace millrace
