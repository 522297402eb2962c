// MatMul, Gemm, FusedMatMul, MatMulWeightGrad.
#include <algorithm>

#include "kernels/reference/activations.h"
#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

// A matrix inside a vector; element (i, j) stands at begin + i * row + j * column.
struct Matrix {
  const Doubles& elements;
  int64_t begin, row, column;

  double at(int64_t i, int64_t j) const { return elements[begin + i * row + j * column]; }
};

// y[m,n] at `begin` = alpha * a[m,k] b[k,n]; sums over k in order, in double.
void Multiply(const Matrix& a, const Matrix& b, int64_t m, int64_t k, int64_t n, double alpha, double* y) {
  for (int64_t i = 0; i < m; ++i) {
    std::fill_n(y + i * n, n, 0.0);
    for (int64_t l = 0; l < k; ++l) {
      const double factor = a.at(i, l);
      for (int64_t j = 0; j < n; ++j) y[i * n + j] += factor * b.at(l, j);
    }
    for (int64_t j = 0; j < n; ++j) y[i * n + j] *= alpha;
  }
}

Matrix Of(const Doubles& elements, int64_t begin, int64_t columns, bool transposed) {
  return transposed ? Matrix{elements, begin, 1, columns} : Matrix{elements, begin, columns, 1};
}

// numpy's product, with transposed last dimensions; a B of two dimensions is multiplied with all of A's rows.
Doubles Product(const Call& call, bool trans_a, bool trans_b) {
  const Doubles a = call.Input(0), b = call.Input(1);
  const auto &da = call.in(0).dims, &db = call.in(1).dims, &dy = call.out(0).dims;
  Doubles y(call.out(0).elements());
  const int64_t n = dy.back();
  if (db.size() == 2 && !trans_a) {
    const int64_t k = da.back();
    const int64_t m = n == 0 ? 0 : static_cast<int64_t>(y.size()) / n;
    Multiply(Of(a, 0, k, false), Of(b, 0, db[1], trans_b), m, k, n, 1, y.data());
    return y;
  }
  const int64_t m = dy[dy.size() - 2], k = da[da.size() - (trans_a ? 2 : 1)];
  const std::vector<int64_t> batch(dy.begin(), dy.end() - 2);
  const auto at_a = BroadcastPositions({da.begin(), da.end() - 2}, batch);
  const auto at_b = BroadcastPositions({db.begin(), db.end() - 2}, batch);
  for (size_t i = 0; i < at_a.size(); ++i) {
    Multiply(Of(a, at_a[i] * m * k, da.back(), trans_a), Of(b, at_b[i] * k * n, db.back(), trans_b), m, k, n, 1,
             y.data() + i * m * n);
  }
  return y;
}

absl::Status MatMul(const Call& call) {
  call.Set(0, Product(call, false, false));
  return absl::OkStatus();
}

absl::Status Gemm(const Call& call) {
  const Attributes& attributes = call.attributes();
  const bool trans_a = attributes.Int("transA", 0) != 0, trans_b = attributes.Int("transB", 0) != 0;
  const double alpha = attributes.Float("alpha", 1), beta = attributes.Float("beta", 1);
  const Doubles a = call.Input(0), b = call.Input(1);
  const int64_t m = call.out(0).dims[0], n = call.out(0).dims[1], k = call.in(0).dims[trans_a ? 0 : 1];
  Doubles y(m * n);
  Multiply(Of(a, 0, call.in(0).dims[1], trans_a), Of(b, 0, call.in(1).dims[1], trans_b), m, k, n, alpha, y.data());
  if (call.in(2).present()) {
    const Doubles c = call.Input(2);
    const auto at = BroadcastPositions(call.in(2).dims, call.out(0).dims);
    for (size_t i = 0; i < y.size(); ++i) y[i] += beta * c[at[i]];
  }
  call.Set(0, y);
  return absl::OkStatus();
}

absl::Status FusedMatMul(const Call& call) {
  const Attributes& attributes = call.attributes();
  Doubles y = Product(call, attributes.Int("transA", 0) != 0, attributes.Int("transB", 0) != 0);
  const int64_t n = call.out(0).columns();
  if (call.in(2).present()) {
    const Doubles bias = call.Input(2);
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % n];
  }
  const Doubles residual = call.in(3).present() ? call.Input(3) : Doubles(y.size(), 0.0);
  call.Set(1, y);
  const Scalar activation = ActivationOf(attributes.String("activation", ""));
  for (size_t i = 0; i < y.size(); ++i) y[i] = activation(y[i]) + residual[i];
  call.Set(0, y);
  return absl::OkStatus();
}

absl::Status MatMulWeightGrad(const Call& call) {
  const Doubles a = call.Input(0), dy = call.Input(1);
  const int64_t rows = call.in(0).rows(), k = call.in(0).columns(), n = call.in(1).columns();
  Doubles db(k * n);
  const Matrix columns_of_a = Of(a, 0, k, true), columns_of_dy = Of(dy, 0, n, true);
  if (call.attributes().Int("transB", 0) != 0) {
    Multiply(columns_of_dy, Of(a, 0, k, false), n, rows, k, 1, db.data());
  } else {
    Multiply(columns_of_a, Of(dy, 0, n, false), k, rows, n, 1, db.data());
  }
  Doubles dbias(n, 0.0);
  for (size_t i = 0; i < dy.size(); ++i) dbias[i % n] += dy[i];
  call.Add(0, db);
  call.Add(1, dbias);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& MatMulOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"MatMul", MatMul},
      {"Gemm", Gemm},
      {"FusedMatMul", FusedMatMul},
      {"MatMulWeightGrad", MatMulWeightGrad},
  };
  return *operators;
}

}  // namespace millrace::reference
