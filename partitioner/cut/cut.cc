#include "partitioner/cut/cut.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace millrace {
namespace {

int StageOfUnit(const Cut& cut, int unit) {
  return static_cast<int>(std::upper_bound(cut.first_unit.begin(), cut.first_unit.end(), unit) -
                          cut.first_unit.begin()) -
         1;
}

}  // namespace

absl::Status CheckStageCount(const Chain& chain, int stages) {
  const int units = static_cast<int>(chain.units.size());
  if (stages >= 1 && stages <= units) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("pp = ", stages, ", but the model can be cut into 1 to ", units,
                                                 " stages: it has ", units,
                                                 " units (fused operators that stay together); choose another pp"));
}

OrderedCut InOrderOfStages(const Chain& chain, const std::vector<int>& stage_of_unit) {
  const int units = static_cast<int>(chain.units.size());
  std::vector<int> order(units), number(units);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return stage_of_unit[a] < stage_of_unit[b]; });
  OrderedCut ordered;
  ordered.order = order;
  ordered.chain.before.resize(chain.before.size());
  for (int i = 0; i < units; ++i) {
    number[order[i]] = i;
    ordered.chain.units.push_back(chain.units[order[i]]);
    if (i == 0 || stage_of_unit[order[i]] != stage_of_unit[order[i - 1]]) ordered.cut.first_unit.push_back(i);
  }
  const auto renumber = [&](std::vector<int> numbers) {
    for (int& u : numbers) u = number[u];
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  };
  for (size_t u = 0; u < chain.before.size(); ++u) ordered.chain.before[number[u]] = renumber(chain.before[u]);
  for (const ChainTensor& tensor : chain.tensors) {
    ordered.chain.tensors.push_back({tensor.bytes, renumber(tensor.units)});
  }
  for (int unit : chain.unit_of_node) ordered.chain.unit_of_node.push_back(number[unit]);
  return ordered;
}

std::vector<int> StagesOfUnits(const Chain& chain, const Cut& cut) {
  std::vector<int> stages;
  for (size_t u = 0; u < chain.units.size(); ++u) stages.push_back(StageOfUnit(cut, static_cast<int>(u)));
  return stages;
}

std::vector<int> StagesOfNodes(const Chain& chain, const Cut& cut) {
  std::vector<int> stages;
  stages.reserve(chain.unit_of_node.size());
  for (int unit : chain.unit_of_node) stages.push_back(StageOfUnit(cut, unit));
  return stages;
}

std::string CutText(const Chain& chain, const Cut& cut, const std::vector<int>& device_of_stage) {
  std::string text = "stage   units     F us     B us     W us  param MB  border MB  last node\n";
  const int stages = static_cast<int>(cut.first_unit.size());
  for (int s = 0; s < stages; ++s) {
    const int begin = cut.first_unit[s];
    const int end = s + 1 < stages ? cut.first_unit[s + 1] : static_cast<int>(chain.units.size());
    const int d = device_of_stage[s];
    double forward = 0, backward = 0, weight = 0, parameters = 0, border = 0;
    for (int u = begin; u < end; ++u) {
      forward += chain.units[u].forward[d];
      backward += chain.units[u].backward[d];
      weight += chain.units[u].weight[d];
      parameters += static_cast<double>(chain.units[u].parameter_bytes);
    }
    for (const ChainTensor& tensor : chain.tensors) {
      bool inside = false, outside = false;
      for (int u : tensor.units) (u >= begin && u < end ? inside : outside) = true;
      if (inside && outside) border += static_cast<double>(tensor.bytes);
    }
    absl::StrAppendFormat(&text, "%5d %7d %8.0f %8.0f %8.0f %9.2f %10.3f  %s\n", s, end - begin, forward * 1e6,
                          backward * 1e6, weight * 1e6, parameters * 1e-6, border * 1e-6,
                          chain.units[end - 1].last_node);
  }
  return text;
}

}  // namespace millrace
