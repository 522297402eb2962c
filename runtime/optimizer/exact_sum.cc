#include "runtime/optimizer/exact_sum.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace millrace {
namespace {

constexpr int kMantissaBits = 52;
constexpr int kLowestExponent = -1074;  // of bit 0

}  // namespace

void ExactSum::Add(double value) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const int exponent = static_cast<int>((bits >> kMantissaBits) & 0x7ff);
  const bool negative = (bits >> 63) != 0;
  uint64_t mantissa = bits & ((uint64_t{1} << kMantissaBits) - 1);
  if (exponent == 0x7ff) {
    flags_ |= mantissa != 0 ? kNan : negative ? kMinusInfinity : kPlusInfinity;
    return;
  }
  if (exponent > 0) mantissa |= uint64_t{1} << kMantissaBits;
  const int position = exponent > 0 ? exponent - 1 : 0;
  const unsigned __int128 wide = static_cast<unsigned __int128>(mantissa) << (position % 64);
  const uint64_t parts[2] = {static_cast<uint64_t>(wide), static_cast<uint64_t>(wide >> 64)};
  uint64_t carry = 0;
  for (int i = position / 64, part = 0; i < kLimbs && (part < 2 || carry != 0); ++i, ++part) {
    const uint64_t term = part < 2 ? parts[part] : 0;
    const unsigned __int128 step = static_cast<unsigned __int128>(term) + carry;
    const uint64_t low = static_cast<uint64_t>(step);
    const uint64_t before = limbs_[i];
    limbs_[i] = negative ? before - low : before + low;
    carry = static_cast<uint64_t>(step >> 64) + (negative ? before < low : limbs_[i] < low);
  }
}

void ExactSum::Merge(const void* bytes) {
  uint64_t other[kLimbs + 1];
  std::memcpy(other, bytes, kBytes);
  uint64_t carry = 0;
  for (int i = 0; i < kLimbs; ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(limbs_[i]) + other[i] + carry;
    limbs_[i] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64);
  }
  flags_ |= other[kLimbs];
}

void ExactSum::Write(void* bytes) const {
  std::memcpy(bytes, limbs_.data(), kLimbs * 8);
  std::memcpy(static_cast<char*>(bytes) + kLimbs * 8, &flags_, 8);
}

double ExactSum::ToDouble() const {
  const double infinity = std::numeric_limits<double>::infinity();
  if (flags_ == kPlusInfinity) return infinity;
  if (flags_ == kMinusInfinity) return -infinity;
  if (flags_ != 0) return std::numeric_limits<double>::quiet_NaN();

  std::array<uint64_t, kLimbs> magnitude = limbs_;
  const bool negative = (limbs_[kLimbs - 1] >> 63) != 0;
  if (negative) {
    uint64_t carry = 1;
    for (uint64_t& limb : magnitude) {
      limb = ~limb + carry;
      carry = carry != 0 && limb == 0 ? 1 : 0;
    }
  }
  int top = kLimbs - 1;
  while (top >= 0 && magnitude[top] == 0) --top;
  if (top < 0) return 0.0;
  const int highest = top * 64 + 63 - std::countl_zero(magnitude[top]);
  // Bits below `lowest` are rounded away.
  const int lowest = highest > kMantissaBits ? highest - kMantissaBits : 0;
  const int limb = lowest / 64, shift = lowest % 64;
  uint64_t mantissa = magnitude[limb] >> shift;
  if (shift > 0 && limb + 1 < kLimbs) mantissa |= magnitude[limb + 1] << (64 - shift);
  mantissa &= (uint64_t{2} << kMantissaBits) - 1;
  if (lowest > 0) {
    const int half = lowest - 1;
    const bool round = ((magnitude[half / 64] >> (half % 64)) & 1) != 0;
    bool rest = (magnitude[half / 64] & ((uint64_t{1} << (half % 64)) - 1)) != 0;
    for (int i = 0; i < half / 64 && !rest; ++i) rest = magnitude[i] != 0;
    if (round && (rest || (mantissa & 1) != 0)) ++mantissa;
  }
  const double value = std::ldexp(static_cast<double>(mantissa), lowest + kLowestExponent);
  return negative ? -value : value;
}

}  // namespace millrace
