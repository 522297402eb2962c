// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
// A value depends on (seed, name of the tensor, step, micro-batch, element) and on nothing else, so it is the same
// for every cut, schedule, thread count and run.
#ifndef KERNELS_RANDOM_H_
#define KERNELS_RANDOM_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace millrace {

// FNV-1a, then mixed: the key of a tensor's name.
inline uint64_t RandomKey(absl::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
  return h ^ (h >> 33);
}

struct Philox {
  uint32_t key0, key1;
  uint32_t step, micro_batch;

  Philox(uint64_t seed, uint64_t tensor_key, uint64_t step_, uint64_t micro_batch_)
      : step(static_cast<uint32_t>(step_)), micro_batch(static_cast<uint32_t>(micro_batch_)) {
    uint64_t k = seed * 0x9e3779b97f4a7c15u ^ tensor_key ^ ((step_ >> 32) << 32) ^ (micro_batch_ >> 32);
    k = (k ^ (k >> 31)) * 0xbf58476d1ce4e5b9u;
    k ^= k >> 29;
    key0 = static_cast<uint32_t>(k);
    key1 = static_cast<uint32_t>(k >> 32);
  }

  // Four words for elements 4 * block ... 4 * block + 3.
  std::array<uint32_t, 4> Block(uint64_t block) const {
    std::array<uint32_t, 4> c = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), micro_batch, step};
    uint32_t k0 = key0, k1 = key1;
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = 0xD2511F53ull * c[0];
      const uint64_t p1 = 0xCD9E8D57ull * c[2];
      c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
           static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

  uint32_t Word(uint64_t element) const { return Block(element / 4)[element % 4]; }
  // In [0, 1), 24 bits.
  float Uniform(uint64_t element) const { return static_cast<float>(Word(element) >> 8) * 0x1p-24f; }
};

}  // namespace millrace

#endif  // KERNELS_RANDOM_H_
