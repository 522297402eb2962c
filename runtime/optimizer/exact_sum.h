// A sum of doubles without rounding: the same result for every order of the terms, and rounded once, at the end.
//
// A two's complement fixed-point number wide enough for every double (the idea of Kulisch's long accumulator;
// Kulisch & Miranker, "Computer Arithmetic in Theory and Practice", 1981): bit 0 stands for 2^-1074, the largest double
// takes 2098 bits, the rest is room for 2^77 carries and the sign.
#ifndef RUNTIME_OPTIMIZER_EXACT_SUM_H_
#define RUNTIME_OPTIMIZER_EXACT_SUM_H_

#include <array>
#include <cstdint>

namespace millrace {

class ExactSum {
 public:
  static constexpr int kLimbs = 34;
  static constexpr int kBytes = (kLimbs + 1) * 8;

  void Add(double value);
  // Adds what another sum's Write wrote.
  void Merge(const void* bytes);
  // Writes kBytes bytes, for machines of the same byte order.
  void Write(void* bytes) const;

  // Every term was finite.
  bool finite() const { return flags_ == 0; }
  // Rounded to nearest, ties to even; infinite beyond the largest double. Terms that are not finite give what IEEE
  // addition gives: their infinity, or NaN.
  double ToDouble() const;

 private:
  static constexpr uint64_t kPlusInfinity = 1, kMinusInfinity = 2, kNan = 4;

  std::array<uint64_t, kLimbs> limbs_ = {};  // least significant first
  uint64_t flags_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_OPTIMIZER_EXACT_SUM_H_
