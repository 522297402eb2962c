#include "kernels/cuda/product.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/plain_gemm.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

constexpr uint64_t kMostWorkspace = 32 << 20, kWorkspaceUnit = 64 << 10;
// Partial sums of a product whose k is split, each of m x n floats.
constexpr int64_t kMostSplits = 16;

class PlainProduct : public PreparedProduct {
 public:
  explicit PlainProduct(const Product& product) : product_(product) {}

  absl::Status Run(CudaStream& stream, const ProductMemory& memory) const override {
    const Product& p = product_;
    PlainGemmCall call = {.m = p.m, .n = p.n, .k = p.k, .in = p.in, .out = p.out, .alpha = p.alpha, .beta = p.beta};
    call.a = {memory.a, p.trans_a ? 1 : p.lda, p.trans_a ? p.lda : 1, p.a_stride};
    call.b = {memory.b, p.trans_b ? 1 : p.ldb, p.trans_b ? p.ldb : 1, p.b_stride};
    call.c = memory.c;
    call.d = memory.d;
    call.d_row = p.ldd;
    call.d_stride = p.d_stride;
    call.batch = p.batch;
    return stream.target().Check(LaunchPlainGemm(call, stream.handle()), "launching the plain product");
  }
  std::string choice() const override { return "plain"; }

 private:
  const Product product_;
};

}  // namespace

std::string Product::Key() const {
  return absl::StrCat(m, "x", n, "x", k, trans_a ? "t" : "n", trans_b ? "t" : "n", ",ld", lda, ",", ldb, ",", ldd,
                      ",type", static_cast<int>(in), ">", static_cast<int>(out), ",batch", batch, ":", a_stride, ",",
                      b_stride, ",", d_stride, beta == 0 ? "" : "+C", ",epilogue", static_cast<int>(epilogue), ",align",
                      alignment);
}

uint64_t WorkspaceBytes(const Product& product) {
  if (product.empty()) return 0;
  const double partial = 4.0 * product.m * product.n * product.batch * kMostSplits;
  const uint64_t bytes = static_cast<uint64_t>(std::min(partial, static_cast<double>(kMostWorkspace)));
  return RoundUp(std::max<uint64_t>(bytes, kWorkspaceUnit), kWorkspaceUnit);
}

ColumnMajor InColumns(const Product& p) {
  ColumnMajor c;
  c.first = {p.trans_b ? p.k : p.n, p.trans_b ? p.n : p.k, p.ldb, p.trans_b};
  c.second = {p.trans_a ? p.m : p.k, p.trans_a ? p.k : p.m, p.lda, p.trans_a};
  c.result = {p.n, p.m, p.ldd, false};
  return c;
}

absl::StatusOr<std::unique_ptr<PreparedProduct>> PrepareProduct(const Machine& machine, const Product& product) {
  if (machine.matmuls != nullptr && product.k > 0 && !product.empty()) {
    auto prepared = machine.matmuls->Prepare(product, machine.tf32);
    if (!absl::IsUnimplemented(prepared.status())) return prepared;
  }
  if (product.epilogue != Epilogue::kNone) {
    return absl::UnimplementedError(absl::StrCat("no library product with this epilogue: ", product.Key()));
  }
  return std::make_unique<PlainProduct>(product);
}

}  // namespace millrace::cuda
