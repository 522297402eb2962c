#include "absl/strings/str_cat.h"
#include "partitioner/lower/persistent.h"

namespace millrace {

uint64_t Persistent::RankMemory::WeightFor(int stage, int parameter) const {
  const auto chunk = chunk_weights.find({stage, parameter});
  return chunk != chunk_weights.end() ? chunk->second : weights.at(parameter);
}

uint64_t Persistent::RankMemory::PackedFor(int stage, const std::string& packing) const {
  const auto chunk = chunk_packed.find({stage, packing});
  return chunk != chunk_packed.end() ? chunk->second : packed.at(packing);
}

std::string PackingOf(const Graph& graph, const GraphNode& node, const KernelNeeds& needs) {
  std::string packing = absl::StrCat(needs.packed_bytes, " ", needs.pack_key);
  for (int v : node.inputs) {
    if (v < 0) continue;
    const GraphValue& root = graph.values[graph.Root(v)];
    if (root.kind == GraphValue::Kind::kParameter) absl::StrAppend(&packing, " p", root.parameter);
  }
  return packing;
}

}  // namespace millrace
