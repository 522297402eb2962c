#include "partitioner/cost_graph/variant_graph.h"

#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "partitioner/cost_graph/components.h"
#include "partitioner/cost_graph/json_fields.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostDegree = 1 << 20;

absl::StatusOr<const nlohmann::json*> ObjectAt(const nlohmann::json& object, const char* name,
                                               absl::string_view where) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, ": '", name, "' must be an object"));
  }
  return &*found;
}

// Bytes by neighbour; one that is not named adds nothing.
using Sync = absl::flat_hash_map<int64_t, double>;

absl::StatusOr<Sync> SyncAt(const nlohmann::json& object, const char* name, absl::string_view where) {
  MR_ASSIGN_OR_RETURN(const nlohmann::json* json, ObjectAt(object, name, where));
  Sync sync;
  for (const auto& [key, value] : json->items()) {
    int64_t neighbour = 0;
    if (!absl::SimpleAtoi(key, &neighbour)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cost graph: ", where, ": '", name, "' names a neighbour '", key.substr(0, 40), "'"));
    }
    MR_ASSIGN_OR_RETURN(sync[neighbour], NumberAt(*json, key.c_str(), absl::StrCat(where, ": ", name)));
  }
  return sync;
}

struct RawVariant {
  LayerVariant variant;
  Sync incoming, outgoing;
};

absl::StatusOr<RawVariant> ReadVariant(const nlohmann::json& json, const std::string& where) {
  RawVariant raw;
  LayerVariant& v = raw.variant;
  if (json.is_object() && json.contains("id") && json["id"].is_string()) v.name = json["id"].get<std::string>();
  MR_ASSIGN_OR_RETURN(v.seconds, NumberAt(json, "timePerSample", where));
  MR_ASSIGN_OR_RETURN(v.parameter_bytes, NumberAt(json, "parameterSize", where));
  MR_ASSIGN_OR_RETURN(v.bytes_per_micro_batch, NumberAt(json, "memoryUsageA", where));
  MR_ASSIGN_OR_RETURN(v.fixed_bytes, NumberAt(json, "memoryUsageB", where));
  MR_ASSIGN_OR_RETURN(raw.incoming, SyncAt(json, "syncTimeFw", where));
  MR_ASSIGN_OR_RETURN(raw.outgoing, SyncAt(json, "syncTimeBw", where));
  return raw;
}

class Reader {
 public:
  absl::StatusOr<VariantGraph> Read(const nlohmann::json& json) {
    MR_ASSIGN_OR_RETURN(graph_.devices, IntegerAt(json, "maxDevices", "the file"));
    MR_ASSIGN_OR_RETURN(graph_.memory_limit, NumberAt(json, "maxMemoryPerDevice", "the file"));
    MR_ASSIGN_OR_RETURN(graph_.bandwidth, NumberAt(json, "bandwidth", "the file"));
    MR_ASSIGN_OR_RETURN(graph_.micro_batches, IntegerAt(json, "mbsInBatch", "the file"));
    MR_ASSIGN_OR_RETURN(const nlohmann::json* nodes, ListAt(json, "nodes", "the file"));
    MR_ASSIGN_OR_RETURN(const nlohmann::json* edges, ListAt(json, "edges", "the file"));
    for (const nlohmann::json& node : *nodes) MR_RETURN_IF_ERROR(AddNode(node));
    for (const nlohmann::json& edge : *edges) MR_RETURN_IF_ERROR(AddEdge(edge));
    if (graph_.nodes.empty()) return absl::InvalidArgumentError("cost graph: the file has no nodes");
    const std::vector<int> components = StronglyConnected(graph_.Before());
    if (std::set<int>(components.begin(), components.end()).size() != components.size()) {
      return absl::InvalidArgumentError("cost graph: its edges make a cycle");
    }
    for (size_t n = 0; n < graph_.nodes.size(); ++n) ResolveSync(static_cast<int>(n));
    return std::move(graph_);
  }

 private:
  absl::Status AddNode(const nlohmann::json& json) {
    VariantNode node;
    MR_ASSIGN_OR_RETURN(node.id, IntegerAt(json, "id", absl::StrCat("node number ", graph_.nodes.size() + 1)));
    const std::string where = absl::StrCat("node ", node.id);
    if (json.contains("name") && json["name"].is_string()) node.name = json["name"].get<std::string>();
    MR_ASSIGN_OR_RETURN(const nlohmann::json* degrees, ObjectAt(json, "TMPCs", where));
    std::map<int, std::vector<RawVariant>>& raw = raw_.emplace_back();
    for (const auto& [key, list] : degrees->items()) {
      int64_t degree = 0;
      if (!absl::SimpleAtoi(key, &degree) || degree < 1 || degree > kMostDegree || !list.is_array()) {
        return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, ": TMPCs['", key.substr(0, 40),
                                                       "'] must be a list under a tensor-parallel degree from 1 up"));
      }
      for (const nlohmann::json& variant : list) {
        MR_ASSIGN_OR_RETURN(RawVariant one, ReadVariant(variant, absl::StrCat(where, " at degree ", degree)));
        raw[static_cast<int>(degree)].push_back(std::move(one));
      }
    }
    if (!index_of_.emplace(node.id, static_cast<int>(graph_.nodes.size())).second) {
      return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, " is there twice"));
    }
    graph_.nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  absl::Status AddEdge(const nlohmann::json& json) {
    const int number = static_cast<int>(graph_.edges.size());
    const std::string where = absl::StrCat("edge number ", number + 1);
    MR_ASSIGN_OR_RETURN(const int64_t from, IntegerAt(json, "sourceId", where));
    MR_ASSIGN_OR_RETURN(const int64_t to, IntegerAt(json, "destId", where));
    VariantEdge edge;
    MR_ASSIGN_OR_RETURN(edge.bytes, NumberAt(json, "communicationCost", where));
    for (int64_t end : {from, to}) {
      if (index_of_.contains(end)) continue;
      return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, " joins node ", from, " and ", to,
                                                     "; node ", end, " is not in the file"));
    }
    if (from == to) {
      return absl::InvalidArgumentError(
          absl::StrCat("cost graph: ", where, ": node ", from, " comes before itself: a cycle"));
    }
    edge.from = index_of_[from];
    edge.to = index_of_[to];
    graph_.nodes[edge.from].outgoing.push_back(number);
    graph_.nodes[edge.to].incoming.push_back(number);
    graph_.edges.push_back(edge);
    return absl::OkStatus();
  }

  // From bytes by neighbour to bytes by edge.
  void ResolveSync(int n) {
    VariantNode& node = graph_.nodes[n];
    const auto bytes = [](const Sync& sync, int64_t neighbour) {
      const auto found = sync.find(neighbour);
      return found == sync.end() ? 0.0 : found->second;
    };
    for (auto& [degree, list] : raw_[n]) {
      for (RawVariant& raw : list) {
        for (int e : node.incoming) {
          raw.variant.sync_incoming.push_back(bytes(raw.incoming, graph_.nodes[graph_.edges[e].from].id));
        }
        for (int e : node.outgoing) {
          raw.variant.sync_outgoing.push_back(bytes(raw.outgoing, graph_.nodes[graph_.edges[e].to].id));
        }
        node.variants[degree].push_back(std::move(raw.variant));
      }
    }
  }

  VariantGraph graph_;
  absl::flat_hash_map<int64_t, int> index_of_;
  std::vector<std::map<int, std::vector<RawVariant>>> raw_;  // by node
};

}  // namespace

std::vector<std::vector<int>> VariantGraph::Before() const {
  std::vector<std::vector<int>> before(nodes.size());
  for (const VariantEdge& edge : edges) before[edge.to].push_back(edge.from);
  return before;
}

absl::StatusOr<VariantGraph> ParseVariantGraph(absl::string_view text) {
  MR_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text));
  return Reader().Read(json);
}

}  // namespace millrace
