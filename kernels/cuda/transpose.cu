// Bound by memory: every element is read once and written once. Where runs along the innermost axis stay whole (heads
// and positions change places) they are copied in the widest words. Where the innermost axis changes, a block turns
// tiles of 32 x 32 in shared memory: both sides then move 32 neighbours at a time. Tiles are one element wider than they
// need be, so that the 32 reads of a column of 4-byte elements meet 32 banks (2-byte ones meet 16, twice).
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/transpose.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/words.cuh"

namespace millrace::cuda {
namespace {

template <typename Word, typename Index>
__global__ void CopyRunsKernel(const Word* x, Word* y, Walk walk, int64_t words) {
  for (int64_t i = FirstElement<1>(); i < words; i += GridStride<1>()) y[i] = x[PositionAt<Index>(walk, i).a];
}

Code CopyRuns(const TransposeCall& call, StreamHandle stream) {
  const Walk& walk = call.walk;
  const int inner = walk.axes - 1;
  uint64_t numbers = call.element_bytes;  // no axis is dense in x: only for tensors of one element
  if (walk.a[inner] == 1) {
    numbers = Address(call.x) | Address(call.y) | static_cast<uint64_t>(walk.size[inner] * call.element_bytes);
    for (int i = 0; i < inner; ++i) numbers |= static_cast<uint64_t>(walk.a[i] * call.element_bytes);
  }
  return ForWord(numbers, [&]<typename Word>(TypeTag<Word>) {
    const Walk in_words = InWords(walk, static_cast<int64_t>(sizeof(Word)) / call.element_bytes);
    const int64_t words = in_words.elements();
    return ForIndexType(words, [&]<typename Index>(TypeTag<Index>) {
      return LaunchKernel(CopyRunsKernel<Word, Index>, ForElements(words, 1), stream, static_cast<const Word*>(call.x),
                          static_cast<Word*>(call.y), in_words, words);
    });
  });
}

constexpr int kTileRows = 8;  // warps of a block

// Tiles of the plane of y's innermost axis (columns) and the axis along which x is dense (rows), for every position of
// the other axes, over which `rest` walks.
struct Turn {
  Walk rest;
  int64_t planes, rows, columns;
  int64_t x_column, y_row;  // strides: of x along columns, of y along rows; the others are 1
};

template <typename T>
__global__ void TurnKernel(const T* x, T* y, Turn turn) {
  __shared__ T tile[kTile][kTile + 1];
  const int lane = threadIdx.x % kTile, first = threadIdx.x / kTile;
  const int64_t across = CeilDiv(turn.columns, kTile), tiles = across * CeilDiv(turn.rows, kTile);
  for (int64_t task = blockIdx.x; task < turn.planes * tiles; task += gridDim.x) {
    const WalkPosition plane = PositionAt<uint64_t>(turn.rest, task / tiles);
    const int64_t row = task % tiles / across * kTile, column = task % tiles % across * kTile;
    for (int i = first; i < kTile; i += kTileRows) {
      if (column + i < turn.columns && row + lane < turn.rows) {
        tile[i][lane] = x[plane.a + (column + i) * turn.x_column + row + lane];
      }
    }
    __syncthreads();
    for (int i = first; i < kTile; i += kTileRows) {
      if (row + i < turn.rows && column + lane < turn.columns) {
        y[plane.b + (row + i) * turn.y_row + column + lane] = tile[lane][i];
      }
    }
    __syncthreads();
  }
}

Turn TurnOf(const Walk& walk, int dense) {
  const int inner = walk.axes - 1;
  Turn turn = {.rest = {},
               .planes = 1,
               .rows = walk.size[dense],
               .columns = walk.size[inner],
               .x_column = walk.a[inner],
               .y_row = walk.b[dense]};
  turn.rest.axes = 0;
  for (int i = 0; i < inner; ++i) {
    if (i == dense) continue;
    const int at = turn.rest.axes++;
    turn.rest.size[at] = walk.size[i];
    turn.rest.a[at] = walk.a[i];
    turn.rest.b[at] = walk.b[i];
    turn.planes *= walk.size[i];
  }
  if (turn.rest.axes == 0) turn.rest.size[turn.rest.axes++] = 1;
  return turn;
}

template <typename T>
Code LaunchTurn(const TransposeCall& call, const Turn& turn, StreamHandle stream) {
  Launch at;
  at.threads = kTile * kTileRows;
  at.blocks = std::min(turn.planes * CeilDiv(turn.rows, kTile) * CeilDiv(turn.columns, kTile), kMostStridingBlocks);
  return LaunchKernel(TurnKernel<T>, at, stream, static_cast<const T*>(call.x), static_cast<T*>(call.y), turn);
}

}  // namespace

Code LaunchTranspose(const TransposeCall& call, StreamHandle stream) {
  const int dense = AxisToTurn(call.walk);
  if (dense < 0) return CopyRuns(call, stream);
  const Turn turn = TurnOf(call.walk, dense);
  switch (call.element_bytes) {
    case 1:
      return LaunchTurn<uint8_t>(call, turn, stream);
    case 2:
      return LaunchTurn<uint16_t>(call, turn, stream);
    case 4:
      return LaunchTurn<uint32_t>(call, turn, stream);
    case 8:
      return LaunchTurn<uint64_t>(call, turn, stream);
    default:
      return kInvalidValue;
  }
}

}  // namespace millrace::cuda
