// Split and Concat: one tensor and the pieces of it along an axis.
#include <cstring>
#include <utility>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/shape.h"

namespace millrace::cpu {
namespace {

class PiecesKernel : public Kernel {
 public:
  PiecesKernel(int64_t rows, std::vector<int64_t> piece_bytes, bool split)
      : Kernel({}), rows_(rows), piece_bytes_(std::move(piece_bytes)), split_(split) {
    for (int64_t bytes : piece_bytes_) row_bytes_ += bytes;
  }

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    char* whole = static_cast<char*>(split_ ? args.inputs[0] : args.outputs[0]);
    void* const* pieces = split_ ? args.outputs : args.inputs;
    ForBlocks(stream, rows_, RowsPerTask(row_bytes_ / 4), [&](int64_t begin, int64_t end) {
      int64_t offset = 0;
      for (size_t i = 0; i < piece_bytes_.size(); ++i) {
        const int64_t bytes = piece_bytes_[i];
        for (int64_t r = begin; r < end && bytes > 0; ++r) {
          char* piece = static_cast<char*>(pieces[i]) + r * bytes;
          char* part = whole + r * row_bytes_ + offset;
          std::memcpy(split_ ? piece : part, split_ ? part : piece, bytes);
        }
        offset += bytes;
      }
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_;
  const std::vector<int64_t> piece_bytes_;  // of one row: everything from the axis on
  const bool split_;
  int64_t row_bytes_ = 0;
};

KernelOr NewPieces(const TensorSpec& whole, const std::vector<TensorSpec>& pieces, int64_t axis, bool split) {
  if (axis < 0) axis += static_cast<int64_t>(whole.dims.size());
  int64_t rows = 1;
  for (int64_t i = 0; i < axis; ++i) rows *= whole.dims[i];
  std::vector<int64_t> piece_bytes;
  for (const TensorSpec& piece : pieces) piece_bytes.push_back(rows == 0 ? 0 : piece.bytes() / rows);
  return std::make_unique<PiecesKernel>(rows, std::move(piece_bytes), split);
}

}  // namespace

KernelOr NewSplit(const OpDesc& desc) {
  return NewPieces(desc.input(0), desc.outputs, desc.attributes.Int("axis", 0), true);
}
KernelOr NewConcat(const OpDesc& desc) {
  return NewPieces(desc.output(0), desc.inputs, desc.attributes.Int("axis", 0), false);
}

}  // namespace millrace::cpu
