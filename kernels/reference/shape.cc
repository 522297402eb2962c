// Operators that only move elements, of any type: Identity, Reshape, Fork, Transpose, Split, Concat.
#include <cstring>

#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

absl::Status CopyToAll(const Call& call) {
  for (int i = 0; i < static_cast<int>(call.desc().outputs.size()); ++i) {
    if (call.in(0).bytes() > 0) std::memmove(call.OutputMemory(i), call.InputMemory(0), call.in(0).bytes());
  }
  return absl::OkStatus();
}

std::vector<int64_t> Strides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

absl::Status Transpose(const Call& call) {
  const std::vector<int64_t> strides = Strides(call.in(0).dims);
  std::vector<int64_t> perm = call.attributes().Ints("perm");
  if (perm.empty()) {
    for (size_t i = strides.size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> permuted;
  for (int64_t p : perm) permuted.push_back(strides[p]);
  const auto from = StridedPositions(call.out(0).dims, permuted);
  const int64_t size = SizeOf(call.in(0).dtype);
  for (size_t i = 0; i < from.size(); ++i) {
    std::memcpy(static_cast<char*>(call.OutputMemory(0)) + i * size,
                static_cast<const char*>(call.InputMemory(0)) + from[i] * size, size);
  }
  return absl::OkStatus();
}

// A tensor seen as `outer` blocks of `block` bytes: what follows the axis, the axis included.
struct Blocks {
  int64_t outer = 1, block = 0;
};

Blocks BlocksOf(const TensorSpec& spec, int64_t axis) {
  if (axis < 0) axis += static_cast<int64_t>(spec.dims.size());
  Blocks blocks;
  for (int64_t i = 0; i < axis; ++i) blocks.outer *= spec.dims[i];
  blocks.block = blocks.outer == 0 ? 0 : spec.bytes() / blocks.outer;
  return blocks;
}

absl::Status Split(const Call& call) {
  const int64_t axis = call.attributes().Int("axis", 0);
  const Blocks whole = BlocksOf(call.in(0), axis);
  int64_t offset = 0;
  for (int p = 0; p < static_cast<int>(call.desc().outputs.size()); ++p) {
    const int64_t block = BlocksOf(call.out(p), axis).block;
    for (int64_t i = 0; i < whole.outer && block > 0; ++i) {
      std::memcpy(static_cast<char*>(call.OutputMemory(p)) + i * block,
                  static_cast<const char*>(call.InputMemory(0)) + i * whole.block + offset, block);
    }
    offset += block;
  }
  return absl::OkStatus();
}

absl::Status Concat(const Call& call) {
  const int64_t axis = call.attributes().Int("axis", 0);
  const Blocks whole = BlocksOf(call.out(0), axis);
  int64_t offset = 0;
  for (int p = 0; p < static_cast<int>(call.desc().inputs.size()); ++p) {
    const int64_t block = BlocksOf(call.in(p), axis).block;
    for (int64_t i = 0; i < whole.outer && block > 0; ++i) {
      std::memcpy(static_cast<char*>(call.OutputMemory(0)) + i * whole.block + offset,
                  static_cast<const char*>(call.InputMemory(p)) + i * block, block);
    }
    offset += block;
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& ShapeOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"Identity", CopyToAll},  {"Reshape", CopyToAll}, {"Fork", CopyToAll},
      {"Transpose", Transpose}, {"Split", Split},       {"Concat", Concat},
  };
  return *operators;
}

}  // namespace millrace::reference
