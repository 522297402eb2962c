// Products as cuBLASLt is asked for them: a column-major product computed by the description must be the row-major one.
#include "kernels/cuda/product.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/linear_cross_entropy.h"
#include "kernels/cuda/matmul_shape.h"

namespace millrace::cuda {
namespace {

// BLAS by its definition: column-major, element (i, j) at i + j * ld, each operand transposed as said.
std::vector<double> InColumnOrder(const ColumnMajor& form, const std::vector<double>& first,
                                  const std::vector<double>& second, int64_t k, size_t elements) {
  const auto at = [](const std::vector<double>& x, const ColumnMajor::Matrix& m, int64_t i, int64_t j) {
    if (m.transposed) std::swap(i, j);
    EXPECT_LT(i, m.rows);
    EXPECT_LT(j, m.columns);
    EXPECT_GE(m.ld, m.rows);
    return x.at(i + j * m.ld);
  };
  std::vector<double> result(elements, -1);
  for (int64_t i = 0; i < form.result.rows; ++i) {
    for (int64_t j = 0; j < form.result.columns; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += at(first, form.first, i, l) * at(second, form.second, l, j);
      result.at(i + j * form.result.ld) = sum;
    }
  }
  return result;
}

TEST(Product, ColumnsOfTheTransposeAreTheRows) {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      Product p = {.m = 3, .n = 5, .k = 4, .trans_a = trans_a, .trans_b = trans_b};
      p.lda = (trans_a ? p.m : p.k) + 2;  // rows with something behind them
      p.ldb = (trans_b ? p.k : p.n) + 1;
      p.ldd = p.n + 3;
      std::vector<double> a((trans_a ? p.k : p.m) * p.lda), b((trans_b ? p.n : p.k) * p.ldb);
      for (size_t i = 0; i < a.size(); ++i) a[i] = i * 7 % 11;
      for (size_t i = 0; i < b.size(); ++i) b[i] = i * 5 % 13;
      std::vector<double> want(p.m * p.ldd, -1);
      for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < p.n; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < p.k; ++l) {
            sum += a[trans_a ? l * p.lda + i : i * p.lda + l] * b[trans_b ? j * p.ldb + l : l * p.ldb + j];
          }
          want[i * p.ldd + j] = sum;
        }
      }
      EXPECT_EQ(InColumnOrder(InColumns(p), b, a, p.k, want.size()), want) << trans_a << trans_b;
    }
  }
}

TEST(Product, WorkspaceFollowsFromTheSizesAlone) {
  EXPECT_EQ(WorkspaceBytes({.m = 0, .n = 5}), 0);
  EXPECT_EQ(WorkspaceBytes({.m = 1, .n = 1}), 64 << 10);
  EXPECT_EQ(WorkspaceBytes({.m = 256, .n = 256}), 4 << 20);
  EXPECT_EQ(WorkspaceBytes({.m = 65536, .n = 3072}), 32 << 20);
}

OpDesc Fused(const char* activation, bool bias, bool residual, bool pre, DType dtype = proto::BF16, int64_t n = 64) {
  const TensorSpec y = {dtype, {8, n}};
  OpDesc desc = {"FusedMatMul", {{dtype, {8, 16}}, {dtype, {16, n}}}, {y}, {}};
  desc.inputs.push_back(bias ? TensorSpec{dtype, {n}} : TensorSpec());
  desc.inputs.push_back(residual ? y : TensorSpec());
  desc.outputs.push_back(pre ? y : TensorSpec());
  desc.attributes.SetString("activation", activation);
  return desc;
}

EpiloguePlan PlanOf(const OpDesc& desc) { return PlanEpilogue(MatMulShapeOf(desc).value()); }

TEST(Epilogue, DoesWhatTheLibraryCan) {
  EXPECT_EQ(PlanOf(Fused("", true, true, false)).epilogue, Epilogue::kBias);
  EXPECT_TRUE(PlanOf(Fused("", true, true, false)).c_is_residual);
  EXPECT_FALSE(PlanOf(Fused("", true, true, false)).finish);
  EXPECT_EQ(PlanOf(Fused("Relu", true, false, false)).epilogue, Epilogue::kReluBias);
  EXPECT_EQ(PlanOf(Fused("GeluTanh", true, false, false)).epilogue, Epilogue::kGeluBias);
  EXPECT_EQ(PlanOf(Fused("GeluTanh", true, false, true)).epilogue, Epilogue::kGeluAuxBias);
  EXPECT_EQ(PlanOf(Fused("GeluTanh", false, false, true)).epilogue, Epilogue::kGeluAux);
}

TEST(Epilogue, LeavesTheRestToAPassOfOurOwn) {
  const OpDesc after[] = {
      Fused("Gelu", true, false, false),                     // the library's GELU is the approximation
      Fused("GeluTanh", true, false, false, proto::F32),     // and not precise enough for float32
      Fused("GeluTanh", true, true, false),                  // a residual comes after the activation, C before
      Fused("GeluTanh", true, false, true, proto::BF16, 9),  // rows of the second output must be multiples of 8
      Fused("Relu", true, false, true),                      // the library would keep a mask
      Fused("Silu", true, false, false),
  };
  for (const OpDesc& desc : after) {
    const EpiloguePlan plan = PlanOf(desc);
    EXPECT_TRUE(plan.finish) << desc.Key();
    EXPECT_EQ(plan.epilogue, Epilogue::kBias) << desc.Key();
    EXPECT_FALSE(plan.c_is_residual) << desc.Key();
  }
}

TEST(MatMulShape, BatchesWhatLiesEvenlyAndCallsForTheRest) {
  const OpDesc both = {
      "MatMul", {{proto::F32, {2, 1, 7, 9}}, {proto::F32, {3, 9, 5}}}, {{proto::F32, {2, 3, 7, 5}}}, {}};
  const MatMulShape shape = MatMulShapeOf(both).value();
  EXPECT_EQ(shape.product.batch, 3);
  EXPECT_EQ(shape.product.a_stride, 0);
  EXPECT_EQ(shape.product.b_stride, 45);
  ASSERT_EQ(shape.calls.size(), 2);
  EXPECT_EQ(shape.calls[1].a, 63);
  EXPECT_EQ(shape.calls[1].b, 0);
  EXPECT_EQ(shape.calls[1].d, 3 * 35);
  EXPECT_EQ(shape.product.alignment, 4);  // the second call begins at 252 bytes

  const OpDesc rows = {"MatMul", {{proto::F32, {2, 5, 33}}, {proto::F32, {33, 17}}}, {{proto::F32, {2, 5, 17}}}, {}};
  EXPECT_EQ(MatMulShapeOf(rows)->product.m, 10);
  EXPECT_EQ(MatMulShapeOf(rows)->calls.size(), 1);
  EXPECT_EQ(MatMulShapeOf(rows)->product.alignment, 16);
}

TEST(LinearCrossEntropySizes, ChunksFitHalfAGigabyteAndRowsOfScoresAreAligned) {
  const OpDesc gpt2 = {"LinearCrossEntropy",
                       {{proto::BF16, {64, 1024, 768}}, {proto::BF16, {50257, 768}}, {proto::I64, {64, 1024}}},
                       {{proto::F64, {}}, {proto::F64, {}}, {proto::BF16, {64, 1024, 768}}, {proto::F32, {50257, 768}}},
                       {}};
  const LinearCrossEntropySizes s = SizesOf(gpt2);
  EXPECT_EQ(s.rows, 65536);
  EXPECT_EQ(s.ld, 50264);
  EXPECT_EQ(s.chunk % kChunkUnit, 0);
  EXPECT_LE(s.chunk * s.classes, kScoresPerChunk);
  EXPECT_GT(s.chunk, 4096);
  const LinearCrossEntropyScratch scratch(s);
  EXPECT_EQ(scratch.total % 256, 0);
  EXPECT_LT(scratch.total, uint64_t{600} << 20);
  const Product dw = WeightGradientProduct(s, s.chunk);
  EXPECT_EQ(dw.out, Element::kF32);
  EXPECT_EQ(dw.beta, 1);
  EXPECT_EQ(dw.m, 50257);
  EXPECT_EQ(dw.lda, s.ld);
}

}  // namespace
}  // namespace millrace::cuda
