// Bound by memory: every byte is read once and written once. All pieces go in one launch, one row of blocks to each.
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/pieces.h"
#include "kernels/cuda/row_column.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/words.cuh"

namespace millrace::cuda {
namespace {

template <bool split, typename Word, typename Index>
__global__ void PiecesKernel(PiecesCall call) {
  const PiecesCall::Piece piece = call.piece[blockIdx.y];
  const int64_t words = piece.bytes / static_cast<int64_t>(sizeof(Word)), elements = call.rows * words;
  for (int64_t i = FirstElement<1>(); i < elements; i += GridStride<1>()) {
    const RowColumn at = RowColumnOf<Index>(i, words);
    Word* in_whole = reinterpret_cast<Word*>(static_cast<char*>(call.whole) + at.row * call.row_bytes + piece.offset);
    Word* in_piece = static_cast<Word*>(piece.memory) + i;
    if constexpr (split) {
      *in_piece = in_whole[at.column];
    } else {
      in_whole[at.column] = *in_piece;
    }
  }
}

}  // namespace

Code LaunchPieces(const PiecesCall& call, StreamHandle stream) {
  uint64_t numbers = Address(call.whole) | static_cast<uint64_t>(call.row_bytes);
  int64_t most = 0;
  for (int i = 0; i < call.pieces; ++i) {
    const PiecesCall::Piece& piece = call.piece[i];
    numbers |= Address(piece.memory) | static_cast<uint64_t>(piece.bytes) | static_cast<uint64_t>(piece.offset);
    most = std::max(most, piece.bytes);
  }
  return ForWord(numbers, [&]<typename Word>(TypeTag<Word>) {
    const int64_t words = call.rows * (most / static_cast<int64_t>(sizeof(Word)));
    return ForIndexType(words, [&]<typename Index>(TypeTag<Index>) {
      Launch at = ForElements(words, 1);
      at.blocks_y = call.pieces;
      return LaunchKernel(call.split ? PiecesKernel<true, Word, Index> : PiecesKernel<false, Word, Index>, at, stream,
                          call);
    });
  });
}

}  // namespace millrace::cuda
