// Checked arithmetic on sizes and addresses that come from files.
#ifndef RUNTIME_PLAN_VERIFY_BYTES_H_
#define RUNTIME_PLAN_VERIFY_BYTES_H_

#include <cstdint>
#include <optional>

#include "proto/model.pb.h"
#include "runtime/plan/alignment.h"

namespace millrace {

inline bool Aligned(uint64_t offset) { return offset % kAlignment == 0; }

// Is [begin, begin + bytes) inside [from, from + size)? Never overflows; `from + size` must not.
inline bool Within(uint64_t begin, uint64_t bytes, uint64_t from, uint64_t size) {
  return begin >= from && begin - from <= size && bytes <= size - (begin - from);
}

// Elements of a concrete type; nullopt when a size is negative (symbolic) or the product does not fit 2^60.
std::optional<uint64_t> ElementsOf(const proto::TensorType& type);
// Bytes of a concrete type; nullopt also for an unknown element type.
std::optional<uint64_t> BytesOf(const proto::TensorType& type);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_BYTES_H_
