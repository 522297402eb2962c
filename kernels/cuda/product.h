// One matrix product as the CUDA backend computes it, row-major as everywhere in this program; and how cuBLASLt, which
// thinks in columns, is asked for the same.
#ifndef KERNELS_CUDA_PRODUCT_H_
#define KERNELS_CUDA_PRODUCT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/machine.h"

namespace millrace::cuda {

// What happens to the sum before it is stored. GELU is the tanh approximation.
enum class Epilogue { kNone, kBias, kRelu, kReluBias, kGelu, kGeluBias, kGeluAux, kGeluAuxBias };
constexpr bool HasBias(Epilogue e) {
  return e == Epilogue::kBias || e == Epilogue::kReluBias || e == Epilogue::kGeluBias || e == Epilogue::kGeluAuxBias;
}
constexpr bool HasAux(Epilogue e) { return e == Epilogue::kGeluAux || e == Epilogue::kGeluAuxBias; }

// D [m,n] = epilogue(alpha A' B' + beta C), where A' is m x k, or stored as k x m and transposed; B' likewise. C has
// D's layout and may be D. Sums are float32.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool trans_a = false, trans_b = false;
  int64_t lda = 0, ldb = 0, ldd = 0;  // elements from one stored row to the next
  Element in = Element::kF32, out = Element::kF32;
  int64_t batch = 1, a_stride = 0, b_stride = 0, d_stride = 0;  // in elements; the bias is one for all
  float alpha = 1, beta = 0;
  Epilogue epilogue = Epilogue::kNone;
  int alignment = kAccessBytes;  // all addresses are multiples of this many bytes

  bool empty() const { return m == 0 || n == 0 || batch == 0; }
  std::string Key() const;  // equal keys are the same computation
};

// Addresses of one call. The aux output, the values before GELU, has D's layout.
struct ProductMemory {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;  // null unless beta != 0
  void* d = nullptr;
  const void* bias = nullptr;
  void* aux = nullptr;
  void* workspace = nullptr;  // workspace_bytes() of it
};

// Immutable; run from any thread.
class PreparedProduct {
 public:
  virtual ~PreparedProduct() = default;
  virtual absl::Status Run(CudaStream& stream, const ProductMemory& memory) const = 0;
  virtual std::string choice() const = 0;  // which algorithm, for reports
};

// cuBLASLt, behind an interface so that host code and tests do without it.
class MatMulLibrary {
 public:
  virtual ~MatMulLibrary() = default;
  // UNIMPLEMENTED when the library has no algorithm for it. The same product always gets the same algorithm.
  virtual absl::StatusOr<std::unique_ptr<PreparedProduct>> Prepare(const Product& product, bool tf32) = 0;
};

// By the library when there is one, else, or when it cannot, by our own kernel; the latter only without an epilogue:
// UNIMPLEMENTED.
absl::StatusOr<std::unique_ptr<PreparedProduct>> PrepareProduct(const Machine& machine, const Product& product);

// Of scratch, for the library. By the product's sizes alone, so that a plan made on one machine fits on another.
uint64_t WorkspaceBytes(const Product& product);

// A row-major matrix is the transpose of the column-major matrix at the same address. So D' = B'' A'', and the
// library's first operand is our B.
struct ColumnMajor {
  struct Matrix {
    int64_t rows, columns, ld;
    bool transposed = false;
  };
  Matrix first, second, result;  // result = first * second, each transposed as said
};
ColumnMajor InColumns(const Product& product);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_PRODUCT_H_
