#include "partitioner/cost_graph/pipeline_graph.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "partitioner/cost_graph/components.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::Status Bad(int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("cost graph: line ", line, ": ", what));
}

// "node17" -> 17.
bool NumberOf(absl::string_view name, int64_t* number) {
  return absl::ConsumePrefix(&name, "node") && absl::SimpleAtoi(name, number) && *number >= 0;
}

// "12.5", or "[1; 2.5; 3]", whose sum counts.
bool SumOf(absl::string_view text, double* sum) {
  *sum = 0;
  if (absl::ConsumePrefix(&text, "[") && !absl::ConsumeSuffix(&text, "]")) return false;
  for (absl::string_view part : absl::StrSplit(text, ';')) {
    double value = 0;
    if (!absl::SimpleAtod(absl::StripAsciiWhitespace(part), &value) || !std::isfinite(value) || value < 0) return false;
    *sum += value;
  }
  return std::isfinite(*sum);
}

absl::Status ReadFigures(absl::string_view text, int line, ProfiledNode* node) {
  std::map<absl::string_view, double> figures;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(part, absl::MaxSplits('=', 1));
    double value = 0;
    if (!SumOf(absl::StripAsciiWhitespace(field.second), &value)) {
      return Bad(line, absl::StrCat("'", part.substr(0, 80), "' is no NAME=NUMBER with a number from 0 up"));
    }
    figures[absl::StripAsciiWhitespace(field.first)] = value;
  }
  for (const char* name : {"forward_compute_time", "backward_compute_time", "activation_size", "parameter_size"}) {
    if (!figures.contains(name)) return Bad(line, absl::StrCat(name, " is missing"));
  }
  node->forward_seconds = figures["forward_compute_time"] * 1e-3;
  node->backward_seconds = figures["backward_compute_time"] * 1e-3;
  node->activation_bytes = figures["activation_size"];
  node->parameter_bytes = figures["parameter_size"];
  return absl::OkStatus();
}

struct NamedEdge {
  int64_t from = 0, to = 0;
  int line = 0;
};

// The nodes that `kept` says, renumbered.
PipelineGraph Keep(const PipelineGraph& graph, const std::vector<bool>& kept) {
  PipelineGraph result;
  std::vector<int> number(graph.nodes.size(), -1);
  for (size_t n = 0; n < kept.size(); ++n) {
    if (!kept[n]) continue;
    number[n] = static_cast<int>(result.nodes.size());
    result.nodes.push_back(graph.nodes[n]);
  }
  for (const auto& [from, to] : graph.edges) {
    if (kept[from] && kept[to]) result.edges.emplace_back(number[from], number[to]);
  }
  return result;
}

}  // namespace

std::vector<std::vector<int>> PipelineGraph::Before() const {
  std::vector<std::vector<int>> before(nodes.size());
  for (const auto& [from, to] : edges) before[to].push_back(from);
  return before;
}

absl::StatusOr<PipelineGraph> ParsePipelineGraph(absl::string_view text) {
  std::map<int64_t, ProfiledNode> nodes;
  std::vector<NamedEdge> edges;
  int line = 0;
  for (absl::string_view row : absl::StrSplit(text, '\n')) {
    ++line;
    if (absl::StripAsciiWhitespace(row).empty()) continue;
    const bool is_edge = row[0] == '\t';
    const std::vector<absl::string_view> parts = absl::StrSplit(absl::StripAsciiWhitespace(row), " -- ");
    int64_t number = 0;
    if (!NumberOf(parts[0], &number)) return Bad(line, "it begins with no nodeN");
    if (is_edge) {
      NamedEdge edge{number, 0, line};
      if (parts.size() != 2 || !NumberOf(parts[1], &edge.to)) return Bad(line, "an edge is TAB nodeA -- nodeB");
      edges.push_back(edge);
      continue;
    }
    if (parts.size() < 3) return Bad(line, "a node is nodeN -- description -- figures");
    ProfiledNode node{.name = std::string(parts[0]), .description = std::string(parts[1])};
    MR_RETURN_IF_ERROR(ReadFigures(parts[2], line, &node));
    if (!nodes.emplace(number, std::move(node)).second) return Bad(line, absl::StrCat(parts[0], " is there twice"));
  }
  PipelineGraph graph;
  absl::flat_hash_map<int64_t, int> index;
  for (auto& [number, node] : nodes) {
    index[number] = static_cast<int>(graph.nodes.size());
    graph.nodes.push_back(std::move(node));
  }
  if (graph.nodes.empty()) return absl::InvalidArgumentError("cost graph: the file has no nodes");
  for (const NamedEdge& edge : edges) {
    for (int64_t end : {edge.from, edge.to}) {
      if (!index.contains(end)) return Bad(edge.line, absl::StrCat("there is no node", end));
    }
    if (edge.from == edge.to) return Bad(edge.line, absl::StrCat("node", edge.from, " comes before itself: a cycle"));
    graph.edges.emplace_back(index[edge.from], index[edge.to]);
  }
  const std::vector<int> components = StronglyConnected(graph.Before());
  if (std::set<int>(components.begin(), components.end()).size() != components.size()) {
    return absl::InvalidArgumentError("cost graph: its edges make a cycle");
  }
  return graph;
}

PipelineGraph Trimmed(const PipelineGraph& graph) {
  std::vector<bool> kept(graph.nodes.size(), true), is_target(graph.nodes.size(), false);
  for (const auto& [from, to] : graph.edges) is_target[to] = true;
  for (size_t n = 0; n < kept.size(); ++n) {
    kept[n] = is_target[n] || !absl::StartsWith(graph.nodes[n].description, "Input");
  }
  PipelineGraph inner = Keep(graph, kept);
  kept.assign(inner.nodes.size(), true);
  std::vector<bool> is_source(inner.nodes.size(), false);
  for (const auto& [from, to] : inner.edges) is_source[from] = true;
  for (size_t n = 0; n < kept.size(); ++n) {
    kept[n] = is_source[n] || !absl::StartsWith(inner.nodes[n].description, "__getitem__");
  }
  return Keep(inner, kept);
}

}  // namespace millrace
