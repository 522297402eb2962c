#include "partitioner/graph/graph.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

std::string ValueText(const Graph& graph, int value) {
  if (value < 0) return "-";
  const GraphValue& v = graph.values[value];
  std::string text = absl::StrCat(v.name, ":", v.spec.ToString());
  if (v.alias_of >= 0) absl::StrAppend(&text, "=", graph.values[graph.Root(value)].name);
  return text;
}

std::string ValueTexts(const Graph& graph, const std::vector<int>& values) {
  return absl::StrJoin(values, ", ", [&](std::string* out, int v) { absl::StrAppend(out, ValueText(graph, v)); });
}

}  // namespace

OpDesc Graph::Desc(const GraphNode& node) const {
  OpDesc desc;
  desc.op = node.op;
  desc.attributes = node.attributes;
  for (int v : node.inputs) desc.inputs.push_back(v < 0 ? TensorSpec() : values[v].spec);
  for (int v : node.outputs) desc.outputs.push_back(v < 0 ? TensorSpec() : values[v].spec);
  return desc;
}

int Graph::Root(int value) const {
  while (value >= 0 && values[value].alias_of >= 0) value = values[value].alias_of;
  return value;
}

std::string Graph::ToString() const {
  std::string text = absl::StrCat("graph ", name, ", micro-batch ", micro_batch_size, ", ", nodes.size(), " nodes, ",
                                  parameters.size(), " parameters\n");
  for (const GraphNode& node : nodes) {
    const std::string attributes = node.attributes.ToString();
    absl::StrAppend(&text, proto::Phase_Name(node.phase), " u", node.unit, " ", node.name, ": ", node.op, "(",
                    ValueTexts(*this, node.inputs), ") -> ", ValueTexts(*this, node.outputs),
                    attributes.empty() ? "" : absl::StrCat(" {", attributes, "}"), "\n");
  }
  return text;
}

}  // namespace millrace
