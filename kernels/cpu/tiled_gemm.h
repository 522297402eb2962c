// One matrix product as independent tiles, each a oneDNN primitive made ahead of time.
//
// Tiles never divide the summed dimension, and their sizes come from the shape: which thread computes a tile changes
// nothing in the result. oneDNN takes its fast path (brgemm) for tiles whose rows lie densely one after another, and
// its GEMM for the others.
#ifndef KERNELS_CPU_TILED_GEMM_H_
#define KERNELS_CPU_TILED_GEMM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/dtype.h"

namespace millrace::cpu {

// C [m,n] = or += A [m,k] B [k,n] + bias [n]. Strides are elements from one stored row to the next.
struct GemmForm {
  int64_t m = 0, n = 0, k = 0;
  DType in = proto::F32;      // of A and B: F32 or BF16
  DType out = proto::F32;     // of C: as `in`, or F32
  bool a_transposed = false;  // stored [k,m]
  bool b_transposed = false;  // stored [n,k]
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool accumulate = false;         // C +=
  bool bias = false;               // of type `in`
  bool packed = false;             // B is what Pack wrote
  int64_t m_tile = 0, n_tile = 0;  // at most; > 0
};

// `total` in the fewest equal pieces of at most about `most`, rounded up to `multiple`.
int64_t EvenTile(int64_t total, int64_t most, int64_t multiple);

// Immutable; any number of threads may run tiles of it at the same time.
class TiledGemm {
 public:
  // UNIMPLEMENTED when oneDNN cannot do this on this processor (bf16 without AVX-512); the text names the shape.
  static absl::StatusOr<TiledGemm> Make(const GemmForm& form);
  TiledGemm(TiledGemm&&) noexcept;
  TiledGemm& operator=(TiledGemm&&) noexcept;
  ~TiledGemm();

  const GemmForm& form() const;
  // Tiles are numbered along a row of tiles, then down.
  int64_t tiles() const;
  struct Tile {
    int64_t row, column, rows, columns;
  };
  Tile TileAt(int64_t tile) const;

  // Bytes that RunTile needs for itself, a multiple of 256.
  uint64_t scratch_bytes() const;
  // Of the packed form of B, 0 unless form().packed; products with the same key pack the same B to the same bytes.
  uint64_t packed_bytes() const;
  const std::string& pack_key() const;
  absl::Status Pack(CpuStream& stream, const void* b, void* packed) const;

  // `a` and `b` (or what Pack wrote) are the whole matrices and `bias` the whole vector; `c` is the first element of
  // the tile, with rows ldc apart. Does not throw; an error is the library's own.
  absl::Status RunTile(int64_t tile, const void* a, const void* b, const void* bias, void* c, void* scratch) const;

 private:
  struct Parts;
  explicit TiledGemm(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// At most this many threads work on one kernel whose tasks need scratch of their own: so much is set aside.
inline constexpr int64_t kSlots = 8;

// As ParallelFor, with a slot in [0, min(tasks, kSlots)) that no other running task has. The slot must not change
// results.
void ParallelForSlots(CpuStream& stream, int64_t tasks, absl::FunctionRef<void(int64_t task, int64_t slot)> task);

// The first error that any task of a kernel met. Thread-safe.
class FirstError {
 public:
  void Note(absl::Status status) {
    if (status.ok()) return;
    absl::MutexLock lock(&mutex_);
    status_.Update(std::move(status));
  }
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status status_;
};

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_TILED_GEMM_H_
