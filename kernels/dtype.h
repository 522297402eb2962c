// Element types: sizes, names and the C++ types behind them.
#ifndef KERNELS_DTYPE_H_
#define KERNELS_DTYPE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proto/model.pb.h"

namespace millrace {

using DType = proto::DataType;

// Bytes of one element; 0 for DATA_TYPE_UNSPECIFIED.
int64_t SizeOf(DType dtype);
// "f32", "bf16", "i64", ...
absl::string_view Name(DType dtype);
bool IsFloat(DType dtype);
// bf16 or f16: parameters of these types are trained with a float32 master copy.
bool IsHalf(DType dtype);

// bfloat16: the upper half of a float. Conversion from float rounds to nearest even and keeps NaN a NaN.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);
  explicit operator float() const;
};

}  // namespace millrace

#endif  // KERNELS_DTYPE_H_
