#include "kernels/dtype.h"

#include <bit>
#include <cmath>

namespace millrace {

int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case proto::F64:
    case proto::I64:
      return 8;
    case proto::F32:
    case proto::I32:
      return 4;
    case proto::BF16:
    case proto::F16:
      return 2;
    case proto::U8:
    case proto::BOOL:
      return 1;
    default:
      return 0;
  }
}

absl::string_view Name(DType dtype) {
  switch (dtype) {
    case proto::F64: return "f64";
    case proto::I64: return "i64";
    case proto::F32: return "f32";
    case proto::I32: return "i32";
    case proto::BF16: return "bf16";
    case proto::F16: return "f16";
    case proto::U8: return "u8";
    case proto::BOOL: return "bool";
    default: return "none";
  }
}

bool IsFloat(DType dtype) {
  return dtype == proto::F32 || dtype == proto::F64 || dtype == proto::BF16 || dtype == proto::F16;
}

bool IsHalf(DType dtype) { return dtype == proto::BF16 || dtype == proto::F16; }

BFloat16::BFloat16(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) {
    bits = static_cast<uint16_t>((u >> 16) | 0x40);
  } else {
    bits = static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
}

BFloat16::operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

}  // namespace millrace
