// LinearCrossEntropy: a chunk of rows at a time, a tile of classes at a time.
//
// 1. Each tile of scores is one product, at once replaced by exp(score - tile's maximum); maximum and sum are kept.
// 2. Each row's maximum and sum follow from those of its tiles, and with them the loss.
// 3. Each tile becomes softmax - onehot by one factor per row, and adds its product with X to dWeight while it is hot.
// 4. dX adds up the products of the tiles with the weight, in the order of the tiles.
//
// A tile lies densely in memory, which is what oneDNN is fastest with. The weight is packed for step 1 only: step 4
// reads it as it is, and gains nothing from a second packed copy.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/softmax_tile.h"
#include "kernels/cpu/tiled_gemm.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

// Measured on GPT-2's vocabulary: dWeight is read and written once per chunk, so chunks are long; a tile of 512 x 384
// floats stays in the second-level cache.
constexpr int64_t kChunkRows = 512, kTileClasses = 384, kInputGradientRows = 128;
constexpr int64_t kRowsPerCombine = 64;

struct Sizes {
  int64_t rows, width, classes;  // X [rows, width]; classes: V
  int64_t chunk, tile;           // rows of a chunk, classes of a tile
  bool trans_b, packed, input_gradient, weight_gradient;

  bool gradients() const { return input_gradient || weight_gradient; }
  int64_t chunks() const { return CeilDiv(rows, chunk); }
  int64_t tiles() const { return CeilDiv(classes, tile); }
  int64_t tile_classes(int64_t t) const { return std::min(tile, classes - t * tile); }
};

// Where things lie in scratch, in bytes. Without gradients a tile of scores is needed during its task only.
struct Layout {
  uint64_t scores, largest, sums, label_scores, losses, slots, slot_bytes, total;

  Layout(const Sizes& s, uint64_t product_scratch) {
    uint64_t at = 0;
    const auto take = [&at](uint64_t bytes) { return std::exchange(at, at + RoundUp(bytes, 256)); };
    const uint64_t tiles_held = s.gradients() ? s.tiles() : kSlots;
    scores = take(sizeof(float) * tiles_held * s.chunk * s.tile);
    largest = take(sizeof(float) * s.chunk * s.tiles());
    sums = take(sizeof(float) * s.chunk * s.tiles());
    label_scores = take(sizeof(float) * s.chunk);
    losses = take(sizeof(double) * s.chunk);
    slot_bytes = product_scratch;
    slots = take(slot_bytes * kSlots);
    total = at;
  }
};

// The gradient products of one tile: of chunks of one length, for tiles of one width.
struct GradientProducts {
  std::optional<TiledGemm> weight, input;
};

absl::StatusOr<GradientProducts> MakeGradients(const Sizes& s, int64_t rows, int64_t classes) {
  GradientProducts made;
  if (s.weight_gradient) {
    GemmForm form = {.m = classes,
                     .n = s.width,
                     .k = rows,
                     .a_transposed = true,
                     .lda = s.tile,
                     .ldb = s.width,
                     .ldc = s.width,
                     .accumulate = true};
    if (!s.trans_b) {  // dWeight [C,V]: X' times the tile
      form.m = s.width;
      form.n = classes;
      form.lda = s.width;
      form.ldb = s.tile;
      form.ldc = s.classes;
    }
    form.m_tile = form.m;
    form.n_tile = form.n;
    MR_ASSIGN_OR_RETURN(made.weight, TiledGemm::Make(form));
  }
  if (s.input_gradient) {
    const GemmForm form = {.m = rows,
                           .n = s.width,
                           .k = classes,
                           .b_transposed = !s.trans_b,
                           .lda = s.tile,
                           .ldb = s.trans_b ? s.width : s.classes,
                           .ldc = s.width,
                           .accumulate = true,
                           .m_tile = EvenTile(rows, kInputGradientRows, 16),
                           .n_tile = s.width};
    MR_ASSIGN_OR_RETURN(made.input, TiledGemm::Make(form));
  }
  return made;
}

// One chunk of one call: addresses of everything in it.
struct Chunk {
  int64_t index, first_row, rows;
  const float* x;
  const float* weight;
  const void* packed;
  const int64_t* labels;
  float* dx;       // of the chunk's first row
  float* dweight;  // whole
  float *scores, *largest, *sums, *label_scores;
  double* losses;
  char* slots;
};

class LinearCrossEntropyKernel : public Kernel {
 public:
  // gradients[last chunk][last tile]
  LinearCrossEntropyKernel(KernelNeeds needs, const Sizes& sizes, const Layout& layout, int64_t ignore_index,
                           TiledGemm scores, GradientProducts (&&gradients)[2][2])
      : Kernel(std::move(needs)), s_(sizes), layout_(layout), ignore_(ignore_index), scores_(std::move(scores)) {
    for (int i : {0, 1}) {
      for (int j : {0, 1}) gradients_[i][j] = std::move(gradients[i][j]);
    }
  }

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    return scores_.Pack(static_cast<CpuStream&>(stream), args.inputs[1], packed);
  }

  absl::Status Run(Stream& base, const KernelArgs& args) const override {
    CpuStream& stream = static_cast<CpuStream&>(base);
    if (s_.packed && args.packed == nullptr) {
      return absl::FailedPreconditionError(
          "LinearCrossEntropy with packed=1 was run without its packed weights: call Pack first");
    }
    double loss = 0, count = 0;
    MR_RETURN_IF_ERROR(CountLabels(static_cast<const int64_t*>(args.inputs[2]), &count));
    for (int64_t index = 0; index < s_.chunks(); ++index) {
      const Chunk chunk = ChunkAt(args, index);
      MR_RETURN_IF_ERROR(Scores(stream, chunk));
      ForBlocks(stream, chunk.rows, kRowsPerCombine, [&](int64_t begin, int64_t end) { Combine(chunk, begin, end); });
      for (int64_t i = 0; i < chunk.rows; ++i) loss += chunk.losses[i];
      if (s_.gradients()) MR_RETURN_IF_ERROR(ScoreGradients(stream, chunk));
      if (s_.input_gradient) MR_RETURN_IF_ERROR(InputGradient(stream, chunk));
    }
    *static_cast<double*>(args.outputs[0]) = loss;
    *static_cast<double*>(args.outputs[1]) = count;
    return absl::OkStatus();
  }

 private:
  absl::Status CountLabels(const int64_t* labels, double* count) const {
    for (int64_t i = 0; i < s_.rows; ++i) {
      if (labels[i] == ignore_) continue;
      if (labels[i] < 0 || labels[i] >= s_.classes) {
        return absl::InvalidArgumentError(absl::StrCat("LinearCrossEntropy: label ", i, " is ", labels[i],
                                                       "; there are ", s_.classes, " classes, and ", ignore_,
                                                       " is ignored: check the data's vocabulary"));
      }
      ++*count;
    }
    return absl::OkStatus();
  }

  Chunk ChunkAt(const KernelArgs& args, int64_t index) const {
    char* scratch = static_cast<char*>(args.scratch);
    const auto floats = [&](uint64_t offset) { return reinterpret_cast<float*>(scratch + offset); };
    const int64_t first = index * s_.chunk;
    return {index,
            first,
            std::min(s_.chunk, s_.rows - first),
            static_cast<const float*>(args.inputs[0]),
            static_cast<const float*>(args.inputs[1]),
            args.packed,
            static_cast<const int64_t*>(args.inputs[2]) + first,
            s_.input_gradient ? static_cast<float*>(args.outputs[2]) + first * s_.width : nullptr,
            s_.weight_gradient ? static_cast<float*>(args.outputs[3]) : nullptr,
            floats(layout_.scores),
            floats(layout_.largest),
            floats(layout_.sums),
            floats(layout_.label_scores),
            reinterpret_cast<double*>(scratch + layout_.losses),
            scratch + layout_.slots};
  }

  float* TileOf(const Chunk& chunk, int64_t tile, int64_t slot) const {
    return chunk.scores + (s_.gradients() ? tile : slot) * s_.chunk * s_.tile;
  }
  void* SlotScratch(const Chunk& chunk, int64_t slot) const { return chunk.slots + slot * layout_.slot_bytes; }
  const GradientProducts& Products(const Chunk& chunk, int64_t tile) const {
    return gradients_[chunk.index == s_.chunks() - 1][tile == s_.tiles() - 1];
  }

  absl::Status Scores(CpuStream& stream, const Chunk& chunk) const {
    FirstError error;
    ParallelForSlots(stream, s_.tiles(), [&](int64_t t, int64_t slot) {
      float* tile = TileOf(chunk, t, slot);
      error.Note(scores_.RunTile(chunk.index * s_.tiles() + t, chunk.x, s_.packed ? chunk.packed : chunk.weight,
                                 nullptr, tile, SlotScratch(chunk, slot)));
      const int64_t first = t * s_.tile, classes = s_.tile_classes(t);
      for (int64_t i = 0; i < chunk.rows; ++i) {
        const int64_t j = chunk.labels[i] - first;
        if (j >= 0 && j < classes) chunk.label_scores[i] = tile[i * s_.tile + j];
      }
      ExpOfTile(chunk.rows, classes, tile, s_.tile, chunk.largest + t, chunk.sums + t, s_.tiles());
    });
    return error.status();
  }

  // Rows [begin, end): the loss, and in place of a tile's maximum what turns its exponentials into probabilities.
  void Combine(const Chunk& chunk, int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) {
      float* largest = chunk.largest + i * s_.tiles();
      const float* sums = chunk.sums + i * s_.tiles();
      const double most = *std::max_element(largest, largest + s_.tiles());
      double sum = 0;
      for (int64_t t = 0; t < s_.tiles(); ++t) sum += sums[t] * std::exp(largest[t] - most);
      const bool ignored = chunk.labels[i] == ignore_;
      chunk.losses[i] = ignored ? 0 : std::log(sum) + most - chunk.label_scores[i];
      if (!s_.gradients()) continue;
      for (int64_t t = 0; t < s_.tiles(); ++t) {
        largest[t] = ignored ? 0.0f : static_cast<float>(std::exp(largest[t] - most) / sum);
      }
    }
  }

  absl::Status ScoreGradients(CpuStream& stream, const Chunk& chunk) const {
    FirstError error;
    ParallelForSlots(stream, s_.tiles(), [&](int64_t t, int64_t slot) {
      float* tile = TileOf(chunk, t, slot);
      const int64_t first = t * s_.tile, classes = s_.tile_classes(t);
      ScaleTile(chunk.rows, classes, tile, s_.tile, chunk.largest + t, s_.tiles());
      for (int64_t i = 0; i < chunk.rows; ++i) {
        const int64_t j = chunk.labels[i] - first;
        if (j >= 0 && j < classes && chunk.labels[i] != ignore_) tile[i * s_.tile + j] -= 1;
      }
      if (!s_.weight_gradient) return;
      const float* x = chunk.x + chunk.first_row * s_.width;
      const float* left = s_.trans_b ? tile : x;
      const float* right = s_.trans_b ? x : tile;
      error.Note(Products(chunk, t).weight->RunTile(
          0, left, right, nullptr, chunk.dweight + first * (s_.trans_b ? s_.width : 1), SlotScratch(chunk, slot)));
    });
    return error.status();
  }

  absl::Status InputGradient(CpuStream& stream, const Chunk& chunk) const {
    FirstError error;
    ParallelForSlots(stream, Products(chunk, 0).input->tiles(), [&](int64_t block, int64_t slot) {
      const TiledGemm::Tile at = Products(chunk, 0).input->TileAt(block);
      float* dx = chunk.dx + at.row * s_.width;
      std::memset(dx, 0, sizeof(float) * at.rows * s_.width);
      for (int64_t t = 0; t < s_.tiles(); ++t) {
        const float* weight = chunk.weight + t * s_.tile * (s_.trans_b ? s_.width : 1);
        error.Note(Products(chunk, t).input->RunTile(block, TileOf(chunk, t, slot), weight, nullptr, dx,
                                                     SlotScratch(chunk, slot)));
      }
    });
    return error.status();
  }

  const Sizes s_;
  const Layout layout_;
  const int64_t ignore_;
  const TiledGemm scores_;
  GradientProducts gradients_[2][2];
};

Sizes SizesOf(const OpDesc& desc) {
  const bool trans_b = desc.attributes.Int("transB", 1) != 0;
  const int64_t rows = desc.input(0).rows(), classes = desc.input(1).dims[trans_b ? 0 : 1];
  return {.rows = rows,
          .width = desc.input(0).columns(),
          .classes = classes,
          .chunk = EvenTile(rows, kChunkRows, 16),
          .tile = EvenTile(classes, kTileClasses, 16),
          .trans_b = trans_b,
          .packed = desc.attributes.Int("packed", 0) != 0,
          .input_gradient = desc.output(2).present(),
          .weight_gradient = desc.output(3).present()};
}

}  // namespace

KernelOr NewLinearCrossEntropy(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32, /*skip_outputs=*/true));
  const Sizes s = SizesOf(desc);
  if (s.classes < 1) return absl::InvalidArgumentError("LinearCrossEntropy: Weight has no classes");
  const GemmForm form = {.m = s.rows,
                         .n = s.classes,
                         .k = s.width,
                         .b_transposed = s.trans_b,
                         .lda = s.width,
                         .ldb = s.trans_b ? s.width : s.classes,
                         .ldc = s.tile,
                         .packed = s.packed,
                         .m_tile = s.chunk,
                         .n_tile = s.tile};
  MR_ASSIGN_OR_RETURN(TiledGemm scores, TiledGemm::Make(form));
  uint64_t product_scratch = scores.scratch_bytes();
  GradientProducts gradients[2][2];
  for (const bool last_chunk : {false, true}) {
    for (const bool last_tile : {false, true}) {
      if (s.rows == 0 || (!last_chunk && s.chunks() == 1) || (!last_tile && s.tiles() == 1)) continue;
      const int64_t rows = last_chunk ? s.rows - (s.chunks() - 1) * s.chunk : s.chunk;
      GradientProducts& made = gradients[last_chunk][last_tile];
      MR_ASSIGN_OR_RETURN(made, MakeGradients(s, rows, last_tile ? s.tile_classes(s.tiles() - 1) : s.tile));
      if (made.weight) product_scratch = std::max(product_scratch, made.weight->scratch_bytes());
      if (made.input) product_scratch = std::max(product_scratch, made.input->scratch_bytes());
    }
  }
  const Layout layout(s, product_scratch);
  const KernelNeeds needs = {layout.total, scores.packed_bytes(), scores.pack_key()};
  return std::make_unique<LinearCrossEntropyKernel>(needs, s, layout, desc.attributes.Int("ignore_index", -100),
                                                    std::move(scores), std::move(gradients));
}

}  // namespace millrace::cpu
