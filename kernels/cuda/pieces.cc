// Split, Concat, and Fork, whose pieces are both the whole.
#include "kernels/cuda/pieces.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {
namespace {

class PiecesKernel : public CudaKernel {
 public:
  PiecesKernel(std::string name, const PiecesCall& shape, std::vector<int64_t> piece_bytes)
      : CudaKernel(std::move(name), {}), shape_(shape), piece_bytes_(std::move(piece_bytes)) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    PiecesCall call = shape_;
    call.whole = call.split ? args.inputs[0] : args.outputs[0];
    void* const* pieces = call.split ? args.outputs : args.inputs;
    int64_t offset = 0;
    for (size_t i = 0; i < piece_bytes_.size(); ++i) {
      if (piece_bytes_[i] > 0) call.piece[call.pieces++] = {pieces[i], piece_bytes_[i], offset};
      offset += piece_bytes_[i];
      if (call.pieces < kMostPieces && i + 1 < piece_bytes_.size()) continue;
      MR_RETURN_IF_ERROR(Launched(stream, LaunchPieces(call, stream.handle())));
      call.pieces = 0;
    }
    return absl::OkStatus();
  }

 private:
  const PiecesCall shape_;
  const std::vector<int64_t> piece_bytes_;  // of one row
};

KernelOr NewPieces(const OpDesc& desc, const TensorSpec& whole, const std::vector<TensorSpec>& pieces, bool split) {
  int64_t axis = desc.attributes.Int("axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(whole.dims.size());
  PiecesCall call = {.split = split, .rows = 1, .piece = {}};
  for (int64_t i = 0; i < axis; ++i) call.rows *= whole.dims[i];
  call.row_bytes = call.rows == 0 ? 0 : whole.bytes() / call.rows;
  std::vector<int64_t> bytes;
  for (const TensorSpec& piece : pieces) bytes.push_back(call.rows == 0 ? 0 : piece.bytes() / call.rows);
  return std::make_unique<PiecesKernel>(desc.op, call, std::move(bytes));
}

class ForkKernel : public CudaKernel {
 public:
  explicit ForkKernel(int64_t bytes) : CudaKernel("Fork", {}), bytes_(bytes) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    for (int i = 0; i < 2; ++i) {
      if (args.outputs[i] == args.inputs[0]) continue;
      MR_RETURN_IF_ERROR(stream.Copy(args.outputs[i], args.inputs[0], bytes_));
    }
    return absl::OkStatus();
  }

 private:
  const int64_t bytes_;
};

}  // namespace

KernelOr NewSplit(const Machine&, const OpDesc& desc) { return NewPieces(desc, desc.input(0), desc.outputs, true); }
KernelOr NewConcat(const Machine&, const OpDesc& desc) { return NewPieces(desc, desc.output(0), desc.inputs, false); }
KernelOr NewFork(const Machine&, const OpDesc& desc) { return std::make_unique<ForkKernel>(desc.input(0).bytes()); }

}  // namespace millrace::cuda
