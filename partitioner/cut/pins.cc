#include "partitioner/cut/pins.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "partitioner/cut/node_names.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr char kWhere[] = "cut with pinned nodes";

std::string Words(const Pin& pin) { return absl::StrCat("'", pin.node.substr(0, 128), "' to stage ", pin.stage); }

}  // namespace

absl::StatusOr<std::vector<Pin>> ParsePins(absl::string_view text, absl::string_view origin) {
  std::vector<Pin> pins;
  int line = 0;
  for (absl::string_view row : absl::StrSplit(text, '\n')) {
    ++line;
    row = absl::StripAsciiWhitespace(row.substr(0, row.find('#')));
    if (row.empty()) continue;
    const size_t space = row.find_last_of(" \t");
    Pin pin;
    if (space == absl::string_view::npos || !absl::SimpleAtoi(row.substr(space + 1), &pin.stage)) {
      return absl::InvalidArgumentError(absl::StrCat(origin, ":", line, ": '", row.substr(0, 128),
                                                     "' is no NODE STAGE: the name of a node and a number from 0"));
    }
    pin.node = std::string(absl::StripAsciiWhitespace(row.substr(0, space)));
    pins.push_back(std::move(pin));
  }
  return pins;
}

absl::StatusOr<std::vector<int>> PinnedUnits(const Graph& graph, const Chain& chain, int stages,
                                             const std::vector<Pin>& pins) {
  absl::flat_hash_map<absl::string_view, int> unit_of;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].phase == proto::F) unit_of.emplace(graph.nodes[n].name, chain.unit_of_node[n]);
  }
  const int units = static_cast<int>(chain.units.size());
  std::vector<const Pin*> pin_of(units, nullptr);
  for (const Pin& pin : pins) {
    if (pin.stage < 0 || pin.stage >= stages) {
      return absl::InvalidArgumentError(
          absl::StrCat(kWhere, ": ", Words(pin), ", but the stages are 0 to ", stages - 1));
    }
    const auto found = unit_of.find(pin.node);
    if (found == unit_of.end()) return UnknownNode(graph, kWhere, pin.node);
    const Pin*& known = pin_of[found->second];
    if (known != nullptr && known->stage != pin.stage) {
      return absl::InvalidArgumentError(absl::StrCat(kWhere, ": ", Words(*known), " and ", Words(pin),
                                                     ", but they are one fused unit that cannot be cut"));
    }
    known = &pin;
  }
  // The latest pinned stage among what leads to a unit, itself included; units stand in topological order.
  std::vector<const Pin*> latest = pin_of;
  for (int u = 0; u < units; ++u) {
    const auto see = [&](int before) {
      const Pin* other = latest[before];
      if (other != nullptr && (latest[u] == nullptr || other->stage > latest[u]->stage)) latest[u] = other;
    };
    if (chain.before.empty() && u > 0) see(u - 1);
    for (size_t i = 0; u < static_cast<int>(chain.before.size()) && i < chain.before[u].size(); ++i) {
      see(chain.before[u][i]);
    }
    if (pin_of[u] != nullptr && latest[u]->stage > pin_of[u]->stage) {
      return absl::InvalidArgumentError(absl::StrCat(kWhere, ": ", Words(*pin_of[u]), " and ", Words(*latest[u]),
                                                     ", but the second one's results lead to the first"));
    }
  }
  std::vector<int> pinned(units, -1);
  for (int u = 0; u < units; ++u) {
    if (pin_of[u] != nullptr) pinned[u] = pin_of[u]->stage;
  }
  return pinned;
}

}  // namespace millrace
