// MatMulWeightGrad: dB += A' dY (or its transpose), tile by tile; dBias by tasks of its own, some columns each.
#include <utility>

#include "absl/status/status.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/tiled_gemm.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

// Measured on GPT-2's shapes: the best size that leaves at least four tasks in most.
constexpr int64_t kRowTile = 384, kColumnTile = 768;
constexpr int64_t kBiasTile = 256;

// dB [m,n] += left' right, where left is A and right dY, or the other way round when dB is stored transposed.
class WeightGradKernel : public Kernel {
 public:
  WeightGradKernel(KernelNeeds needs, bool transposed, int64_t rows, int64_t bias_columns, DType dtype, TiledGemm gemm)
      : Kernel(std::move(needs)),
        transposed_(transposed),
        rows_(rows),
        bias_columns_(bias_columns),
        dtype_(dtype),
        gemm_(std::move(gemm)) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const void* left = args.inputs[transposed_ ? 1 : 0];
    const void* right = args.inputs[transposed_ ? 0 : 1];
    const int64_t bias_tasks = CeilDiv(bias_columns_, kBiasTile);
    FirstError error;
    ParallelForSlots(static_cast<CpuStream&>(stream), gemm_.tiles() + bias_tasks, [&](int64_t task, int64_t slot) {
      if (task >= gemm_.tiles()) return AddBias(args, (task - gemm_.tiles()) * kBiasTile);
      const TiledGemm::Tile at = gemm_.TileAt(task);
      float* c = static_cast<float*>(args.outputs[0]) + at.row * gemm_.form().ldc + at.column;
      error.Note(gemm_.RunTile(task, left, right, nullptr, c,
                               static_cast<char*>(args.scratch) + slot * gemm_.scratch_bytes()));
    });
    return error.status();
  }

 private:
  void AddBias(const KernelArgs& args, int64_t column) const {
    char* dy = static_cast<char*>(args.inputs[1]) + column * SizeOf(dtype_);
    AddColumnSums(dtype_, rows_, std::min(kBiasTile, bias_columns_ - column), {dy, bias_columns_},
                  static_cast<float*>(args.outputs[1]) + column);
  }

  const bool transposed_;
  const int64_t rows_;
  const int64_t bias_columns_;  // 0: no dBias
  const DType dtype_;
  const TiledGemm gemm_;
};

}  // namespace

KernelOr NewMatMulWeightGrad(const OpDesc& desc) {
  const DType dtype = desc.input(0).dtype;
  MR_RETURN_IF_ERROR(OnlyDtype(desc, dtype == proto::BF16 ? proto::BF16 : proto::F32, /*skip_outputs=*/true));
  const bool transposed = desc.attributes.Int("transB", 0) != 0;
  const TensorSpec& left = desc.input(transposed ? 1 : 0);
  const TensorSpec& right = desc.input(transposed ? 0 : 1);
  const int64_t m = left.columns(), n = right.columns();
  const GemmForm form = {.m = m,
                         .n = n,
                         .k = left.rows(),
                         .in = dtype,
                         .out = proto::F32,
                         .a_transposed = true,
                         .lda = m,
                         .ldb = n,
                         .ldc = n,
                         .accumulate = true,
                         .m_tile = EvenTile(m, kRowTile, 16),
                         .n_tile = EvenTile(n, kColumnTile, 16)};
  MR_ASSIGN_OR_RETURN(TiledGemm gemm, TiledGemm::Make(form));
  const KernelNeeds needs = {gemm.scratch_bytes() * kSlots, 0, ""};
  const int64_t bias_columns = desc.output(1).present() ? desc.input(1).columns() : 0;
  return std::make_unique<WeightGradKernel>(needs, transposed, left.rows(), bias_columns, dtype, std::move(gemm));
}

}  // namespace millrace::cpu
