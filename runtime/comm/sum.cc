#include "runtime/comm/sum.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr uint64_t kBlock = 1024;  // sums of a block stay in the first-level cache

template <typename Element, typename Accumulator>
void Sum(absl::Span<const void* const> operands, void* out, uint64_t count) {
  Accumulator sums[kBlock];
  for (uint64_t start = 0; start < count; start += kBlock) {
    const uint64_t n = std::min(kBlock, count - start);
    const Element* first = static_cast<const Element*>(operands[0]) + start;
    for (uint64_t i = 0; i < n; ++i) sums[i] = static_cast<Accumulator>(first[i]);
    for (const void* operand : operands.subspan(1)) {
      const Element* next = static_cast<const Element*>(operand) + start;
      for (uint64_t i = 0; i < n; ++i) sums[i] += static_cast<Accumulator>(next[i]);
    }
    Element* to = static_cast<Element*>(out) + start;
    for (uint64_t i = 0; i < n; ++i) to[i] = static_cast<Element>(sums[i]);
  }
}

}  // namespace

bool HasSum(DType dtype) { return IsFloat(dtype) || dtype == proto::I32 || dtype == proto::I64; }

void SumInOrder(DType dtype, absl::Span<const void* const> operands, void* out, uint64_t count) {
  switch (dtype) {
    case proto::F32: return Sum<float, float>(operands, out, count);
    case proto::F64: return Sum<double, double>(operands, out, count);
    case proto::BF16: return Sum<BFloat16, float>(operands, out, count);
    case proto::F16: return Sum<_Float16, float>(operands, out, count);
    case proto::I32: return Sum<uint32_t, uint32_t>(operands, out, count);
    case proto::I64: return Sum<uint64_t, uint64_t>(operands, out, count);
    default: return;
  }
}

}  // namespace millrace
