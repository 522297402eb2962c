#include "kernels/axes.h"

namespace millrace {

std::vector<int64_t> DenseStrides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& dims, const std::vector<int64_t>& to) {
  const std::vector<int64_t> dense = DenseStrides(dims);
  std::vector<int64_t> strides(to.size(), 0);
  const size_t lead = to.size() - dims.size();
  for (size_t i = 0; i < dims.size(); ++i) strides[lead + i] = dims[i] == 1 ? 0 : dense[i];
  return strides;
}

Axes Collapse(const Axes& axes) {
  Axes result;
  for (const Axis& axis : axes) {
    if (axis.size == 1) continue;
    if (!result.empty() && result.back().a == axis.a * axis.size && result.back().b == axis.b * axis.size) {
      result.back() = {result.back().size * axis.size, axis.a, axis.b};
    } else {
      result.push_back(axis);
    }
  }
  if (result.empty()) result.push_back({1, 0, 0});
  return result;
}

}  // namespace millrace
