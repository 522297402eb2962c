// The generator of kernels/random.h for device code: the same words, bit for bit.
#ifndef KERNELS_CUDA_PHILOX_MATH_H_
#define KERNELS_CUDA_PHILOX_MATH_H_

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

// What millrace::Philox makes of a RunKey and a tensor's key.
struct PhiloxKey {
  uint32_t key0 = 0, key1 = 0, step = 0, micro_batch = 0;
};

// Four words for elements 4 * block ... 4 * block + 3.
MR_HOST_DEVICE void PhiloxWords(const PhiloxKey& key, uint64_t block, uint32_t (&words)[4]) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32), c2 = key.micro_batch,
           c3 = key.step, k0 = key.key0, k1 = key.key1;
  MR_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

// Uniform(element) >= ratio, in its 24 bits.
MR_HOST_DEVICE bool IsKept(uint32_t word, uint32_t threshold) { return (word >> 8) >= threshold; }

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_PHILOX_MATH_H_
