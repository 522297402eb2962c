// MatMul, Gemm and FusedMatMul: tiles of whole rows by oneDNN, then activation, residual and the like on the rows just
// computed.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/tiled_gemm.h"
#include "proto/status_macros.h"

namespace millrace::cpu {
namespace {

// One product, or several that share a form: where each one's matrices begin, in elements.
struct Batch {
  int64_t m = 0, n = 0, k = 0;
  std::vector<int64_t> a_begins, b_begins;  // equally many
};

// Offsets of the matrices of a tensor whose leading dimensions broadcast to `leading`.
std::vector<int64_t> MatrixBegins(const std::vector<int64_t>& dims, const std::vector<int64_t>& leading) {
  const int64_t rank = dims.size(), own = rank - 2, matrix = dims[rank - 2] * dims[rank - 1];
  std::vector<int64_t> strides(leading.size(), 0);
  int64_t stride = matrix;
  for (int64_t i = 1; i <= own; ++i) {
    const int64_t size = dims[own - i];
    if (size > 1) strides[leading.size() - i] = stride;
    stride *= size;
  }
  std::vector<int64_t> begins = {0};
  for (size_t axis = 0; axis < leading.size(); ++axis) {
    std::vector<int64_t> next;
    for (int64_t begin : begins) {
      for (int64_t i = 0; i < leading[axis]; ++i) next.push_back(begin + i * strides[axis]);
    }
    begins = std::move(next);
  }
  return begins;
}

Batch BatchOf(const OpDesc& desc, bool trans_a, bool trans_b) {
  const auto& a = desc.input(0).dims;
  const auto& b = desc.input(1).dims;
  Batch batch;
  batch.n = b[b.size() - (trans_b ? 2 : 1)];
  batch.k = b[b.size() - (trans_b ? 1 : 2)];
  if (b.size() == 2 && !trans_a) {
    batch.m = 1;
    for (size_t i = 0; i + 1 < a.size(); ++i) batch.m *= a[i];
    batch.a_begins = batch.b_begins = {0};
    return batch;
  }
  batch.m = a[a.size() - (trans_a ? 1 : 2)];
  const auto& y = desc.output(0).dims;
  const std::vector<int64_t> leading(y.begin(), y.end() - 2);
  batch.a_begins = MatrixBegins(a, leading);
  batch.b_begins = MatrixBegins(b, leading);
  return batch;
}

// A list of this many products is no micro-batch; it would only fill the memory with offsets.
constexpr int64_t kMostProducts = int64_t{1} << 24;

absl::Status CheckProducts(const OpDesc& desc, bool trans_a) {
  int64_t products = 1;
  for (size_t i = 0; i + 2 < desc.output(0).dims.size(); ++i) products *= desc.output(0).dims[i];
  const bool one = desc.input(1).dims.size() == 2 && !trans_a;  // the leading dimensions are rows
  if (one || products <= kMostProducts) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(desc.op, " on the cpu backend: ", products, " products in one call, in ",
                                               desc.Key(), "; at most ", kMostProducts, " are supported"));
}

// 128 rows keep oneDNN at its best rate and a block of A in the second-level cache; fewer rows become four tasks.
int64_t RowTile(int64_t m, int64_t products) {
  if (m >= 512 || products >= 4) return EvenTile(m, 128, 16);
  return std::clamp<int64_t>(RoundUp(CeilDiv(m, 4), 16), 32, 128);
}

Activation ActivationNamed(const std::string& name) {
  if (name == "Relu") return Activation::kRelu;
  if (name == "Gelu") return Activation::kGelu;
  if (name == "GeluTanh") return Activation::kGeluTanh;
  if (name == "Silu") return Activation::kSilu;
  if (name == "Tanh") return Activation::kTanh;
  if (name == "Sigmoid") return Activation::kSigmoid;
  return Activation::kNone;
}

// What follows the product. Gemm: y = alpha y + beta c. FusedMatMul: pre, activation, residual.
struct Finish {
  Activation activation = Activation::kNone;
  bool residual = false, pre = false;
  float alpha = 1, beta = 0;
  int64_t c_row_stride = 0, c_column_stride = 0;

  bool rows() const { return activation != Activation::kNone || residual || pre; }
  bool scale() const { return alpha != 1 || beta != 0; }
};

class MatMulKernel : public Kernel {
 public:
  MatMulKernel(KernelNeeds needs, DType dtype, Batch batch, TiledGemm gemm, Finish finish)
      : Kernel(std::move(needs)),
        dtype_(dtype),
        batch_(std::move(batch)),
        gemm_(std::move(gemm)),
        finish_(finish),
        through_tile_(ThroughTile(dtype, finish)) {}

  // bf16 rows that something is done to stay in float until they are finished.
  static bool ThroughTile(DType dtype, const Finish& finish) { return dtype == proto::BF16 && finish.rows(); }

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    return gemm_.Pack(static_cast<CpuStream&>(stream), args.inputs[1], packed);
  }

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    if (gemm_.form().packed && args.packed == nullptr) {
      return absl::FailedPreconditionError(
          "FusedMatMul with packed=1 was run without its packed weights: call Pack first");
    }
    FirstError error;
    const int64_t tiles = gemm_.tiles(), products = batch_.a_begins.size();
    ParallelForSlots(static_cast<CpuStream&>(stream), tiles * products, [&](int64_t task, int64_t slot) {
      char* scratch = static_cast<char*>(args.scratch) + slot * (needs().scratch_bytes / kSlots);
      error.Note(RunTile(args, task / tiles, task % tiles, scratch));
    });
    return error.status();
  }

 private:
  Rectangle At(void* memory, int64_t element, int64_t stride) const {
    if (memory == nullptr) return {};
    return {static_cast<char*>(memory) + element * SizeOf(dtype_), stride};
  }

  absl::Status RunTile(const KernelArgs& args, int64_t product, int64_t tile, char* scratch) const {
    const TiledGemm::Tile at = gemm_.TileAt(tile);
    const int64_t n = batch_.n, first = product * batch_.m * n + at.row * n + at.column;
    const Rectangle out = At(args.outputs[0], first, n);
    const Rectangle pre = finish_.pre ? At(args.outputs[1], first, n) : Rectangle();
    const Rectangle residual = finish_.residual ? At(args.inputs[3], first, n) : Rectangle();
    const char* a = static_cast<const char*>(args.inputs[0]) + batch_.a_begins[product] * SizeOf(dtype_);
    const char* b = static_cast<const char*>(args.inputs[1]) + batch_.b_begins[product] * SizeOf(dtype_);
    void* c = through_tile_ ? scratch + gemm_.scratch_bytes() : pre.memory != nullptr ? pre.memory : out.memory;
    MR_RETURN_IF_ERROR(gemm_.RunTile(tile, a, gemm_.form().packed ? static_cast<const char*>(args.packed) : b,
                                     gemm_.form().bias ? args.inputs[2] : nullptr, c, scratch));
    if (finish_.rows()) {
      const int64_t stride = gemm_.form().ldc;
      FinishRows(finish_.activation, dtype_, at.rows, at.columns, static_cast<const float*>(c), stride, residual,
                 through_tile_ ? pre : Rectangle(), out);
    }
    if (finish_.scale()) {
      const float* addend = finish_.beta == 0 ? nullptr
                                              : static_cast<const float*>(args.inputs[2]) +
                                                    at.row * finish_.c_row_stride + at.column * finish_.c_column_stride;
      ScaleAndAdd(at.rows, at.columns, finish_.alpha, static_cast<float*>(out.memory), n, finish_.beta, addend,
                  finish_.c_row_stride, finish_.c_column_stride);
    }
    return absl::OkStatus();
  }

  const DType dtype_;
  const Batch batch_;
  const TiledGemm gemm_;
  const Finish finish_;
  const bool through_tile_;
};

Finish FinishOf(const OpDesc& desc) {
  Finish finish;
  if (desc.op == "FusedMatMul") {
    finish.activation = ActivationNamed(desc.attributes.String("activation", ""));
    finish.residual = desc.input(3).present();
    finish.pre = desc.output(1).present();
  } else if (desc.op == "Gemm") {
    finish.alpha = desc.attributes.Float("alpha", 1);
    const TensorSpec& c = desc.input(2);
    finish.beta = c.present() ? desc.attributes.Float("beta", 1) : 0;
    if (c.present() && c.columns() > 1) finish.c_column_stride = 1;
    if (c.present() && c.dims.size() == 2 && c.dims[0] > 1) finish.c_row_stride = c.columns();
  }
  return finish;
}

absl::Status CheckTypes(const OpDesc& desc) {
  const DType dtype = desc.input(0).dtype;
  return OnlyDtype(desc, dtype == proto::BF16 && desc.op != "Gemm" ? proto::BF16 : proto::F32);
}

}  // namespace

KernelOr NewMatMul(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(CheckTypes(desc));
  const bool trans_a = desc.op != "MatMul" && desc.attributes.Int("transA", 0) != 0;
  const bool trans_b = desc.op != "MatMul" && desc.attributes.Int("transB", 0) != 0;
  MR_RETURN_IF_ERROR(CheckProducts(desc, trans_a));
  const DType dtype = desc.input(0).dtype;
  Batch batch = BatchOf(desc, trans_a, trans_b);
  const Finish finish = FinishOf(desc);
  const bool through_tile = MatMulKernel::ThroughTile(dtype, finish);
  const int64_t row_tile = RowTile(batch.m, batch.a_begins.size());
  const GemmForm form = {.m = batch.m,
                         .n = batch.n,
                         .k = batch.k,
                         .in = dtype,
                         .out = through_tile ? proto::F32 : dtype,
                         .a_transposed = trans_a,
                         .b_transposed = trans_b,
                         .lda = trans_a ? batch.m : batch.k,
                         .ldb = trans_b ? batch.k : batch.n,
                         .ldc = batch.n,
                         .bias = desc.op == "FusedMatMul" && desc.input(2).present(),
                         .packed = desc.op == "FusedMatMul" && desc.attributes.Int("packed", 0) != 0,
                         .m_tile = row_tile,
                         .n_tile = std::max<int64_t>(1, batch.n)};
  MR_ASSIGN_OR_RETURN(TiledGemm gemm, TiledGemm::Make(form));
  uint64_t slot_bytes = gemm.scratch_bytes();
  if (through_tile) slot_bytes += RoundUp(row_tile * batch.n * sizeof(float), 256);
  const KernelNeeds needs = {slot_bytes * kSlots, gemm.packed_bytes(), gemm.pack_key()};
  return std::make_unique<MatMulKernel>(needs, dtype, std::move(batch), std::move(gemm), finish);
}

}  // namespace millrace::cpu
