// Offsets and strides of a plan are multiples of 256 bytes.
#ifndef RUNTIME_PLAN_ALIGNMENT_H_
#define RUNTIME_PLAN_ALIGNMENT_H_

#include <cstdint>

namespace millrace {

inline constexpr uint64_t kAlignment = 256;

// Up to the next multiple of 256. Wraps for sizes within 255 of 2^64, which no checked extent has.
inline uint64_t RoundUp(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace millrace

#endif  // RUNTIME_PLAN_ALIGNMENT_H_
