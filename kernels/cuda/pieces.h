// Split and Concat: the rows of one tensor and the parts of them that its pieces are.
#ifndef KERNELS_CUDA_PIECES_H_
#define KERNELS_CUDA_PIECES_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"

namespace millrace::cuda {

inline constexpr int kMostPieces = 16;  // of one launch

// Everything in bytes, of any element type. A row is all from the axis on.
struct PiecesCall {
  bool split = true;  // from the whole to the pieces; else back
  int64_t rows = 0, row_bytes = 0;
  void* whole = nullptr;
  int pieces = 0;
  struct Piece {
    void* memory;
    int64_t bytes, offset;  // of one row, in a row of the whole
  } piece[kMostPieces];
};
Code LaunchPieces(const PiecesCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_PIECES_H_
