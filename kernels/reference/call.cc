#include "kernels/reference/call.h"

namespace millrace::reference {

Doubles Load(const TensorSpec& spec, const void* memory) {
  const int64_t n = spec.elements();
  Doubles elements(n);
  for (int64_t i = 0; i < n; ++i) {
    switch (spec.dtype) {
      case proto::F64:
        elements[i] = static_cast<const double*>(memory)[i];
        break;
      case proto::BF16:
        elements[i] = static_cast<float>(static_cast<const BFloat16*>(memory)[i]);
        break;
      case proto::F16:
        elements[i] = static_cast<const _Float16*>(memory)[i];
        break;
      default:
        elements[i] = static_cast<const float*>(memory)[i];
    }
  }
  return elements;
}

void Store(const TensorSpec& spec, const Doubles& elements, void* memory) {
  for (int64_t i = 0; i < static_cast<int64_t>(elements.size()); ++i) {
    switch (spec.dtype) {
      case proto::F64:
        static_cast<double*>(memory)[i] = elements[i];
        break;
      case proto::BF16:
        static_cast<BFloat16*>(memory)[i] = BFloat16(static_cast<float>(elements[i]));
        break;
      case proto::F16:  // through float, as every other backend
        static_cast<_Float16*>(memory)[i] = static_cast<_Float16>(static_cast<float>(elements[i]));
        break;
      default:
        static_cast<float*>(memory)[i] = static_cast<float>(elements[i]);
    }
  }
}

void Call::Set(int i, const Doubles& elements) const {
  if (out(i).present()) Store(out(i), elements, args_.outputs[i]);
}

void Call::Add(int i, const Doubles& elements) const {
  if (!out(i).present()) return;
  Doubles sum = Current(i);
  for (size_t e = 0; e < sum.size(); ++e) sum[e] += elements[e];
  Set(i, sum);
}

std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  std::vector<int64_t> strides(to.size(), 0);
  int64_t stride = 1;
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t size = from[from.size() - 1 - i];
    if (size != 1) strides[to.size() - 1 - i] = stride;
    stride *= size;
  }
  return strides;
}

std::vector<int64_t> StridedPositions(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
  int64_t elements = 1;
  for (int64_t d : dims) elements *= d;
  std::vector<int64_t> positions(elements);
  for (int64_t e = 0; e < elements; ++e) {
    int64_t rest = e;
    for (size_t i = dims.size(); i-- > 0;) {
      positions[e] += rest % dims[i] * strides[i];
      rest /= dims[i];
    }
  }
  return positions;
}

std::vector<int64_t> BroadcastPositions(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  return StridedPositions(to, BroadcastStrides(from, to));
}

}  // namespace millrace::reference
