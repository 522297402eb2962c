// A pseudo-random order of [0, n) without a table: a Feistel network with cycle walking (Black & Rogaway, "Ciphers with
// arbitrary finite domains", CT-RSA 2002).
#ifndef RUNTIME_DATA_PERMUTATION_H_
#define RUNTIME_DATA_PERMUTATION_H_

#include <cstdint>

namespace millrace {

// A bijection of [0, n), a pure function of (n, key, epoch). n must be at least 1. Each call takes a few dozen
// multiplications: the walked domain is at most four times n.
class Permutation {
 public:
  Permutation(uint64_t n, uint64_t key, uint64_t epoch) : n_(n) {
    while (half_bits_ < 32 && (uint64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
    mask_ = (uint64_t{1} << half_bits_) - 1;
    key_ = Mix(Mix(key + 0x9e3779b97f4a7c15u) ^ epoch);
  }

  uint64_t operator()(uint64_t index) const {
    do {
      index = Encrypt(index);
    } while (index >= n_);
    return index;
  }

 private:
  static uint64_t Mix(uint64_t x) {  // the finaliser of SplitMix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  uint64_t Encrypt(uint64_t x) const {
    uint64_t left = x >> half_bits_, right = x & mask_;
    for (uint64_t round = 1; round <= 6; ++round) {
      const uint64_t next = left ^ (Mix(key_ + round * 0x9e3779b97f4a7c15u + Mix(right)) & mask_);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  uint64_t n_;
  int half_bits_ = 1;
  uint64_t mask_;
  uint64_t key_;
};

}  // namespace millrace

#endif  // RUNTIME_DATA_PERMUTATION_H_
