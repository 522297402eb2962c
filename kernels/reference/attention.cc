// Attention and its gradient: softmax(scale * Q K') V per head (Vaswani et al., 2017), with grouped query heads
// (Ainslie et al., 2023). The gradient uses the saved Lse and Y as FlashAttention does (Dao et al., 2022).
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

// Where the elements of q, k and v stand: three tensors, or side by side in one.
struct Layout {
  int64_t batch, queries, keys, q_heads, kv_heads, width;
  int64_t q_row, kv_row;     // elements from one position to the next
  int64_t k_begin, v_begin;  // of k and v in their rows
  bool packed, causal;
  double scale;

  int64_t q_at(int64_t b, int64_t t, int64_t h) const { return (b * queries + t) * q_row + h * width; }
  int64_t k_at(int64_t b, int64_t s, int64_t h) const { return (b * keys + s) * kv_row + k_begin + KvHead(h) * width; }
  int64_t v_at(int64_t b, int64_t s, int64_t h) const { return (b * keys + s) * kv_row + v_begin + KvHead(h) * width; }
  int64_t y_at(int64_t b, int64_t t, int64_t h) const { return ((b * queries + t) * q_heads + h) * width; }
  int64_t lse_at(int64_t b, int64_t t, int64_t h) const { return (b * q_heads + h) * queries + t; }
  int64_t KvHead(int64_t h) const { return h / (q_heads / kv_heads); }
  int64_t VisibleKeys(int64_t t) const { return causal ? std::min(t + 1, keys) : keys; }
};

Layout LayoutOf(const Call& call, int first) {
  const TensorSpec &q = call.in(first), &k = call.in(first + 1);
  Layout l;
  l.packed = !k.present();
  l.q_heads = call.attributes().Int("q_num_heads", 0);
  l.kv_heads = call.attributes().Int("kv_num_heads", 0);
  l.width = q.columns() / (l.packed ? l.q_heads + 2 * l.kv_heads : l.q_heads);
  l.batch = q.dims[0];
  l.queries = q.dims[1];
  l.keys = l.packed ? q.dims[1] : k.dims[1];
  l.q_row = q.columns();
  l.kv_row = l.packed ? q.columns() : k.columns();
  l.k_begin = l.packed ? l.q_heads * l.width : 0;
  l.v_begin = l.packed ? (l.q_heads + l.kv_heads) * l.width : 0;
  l.causal = call.attributes().Int("is_causal", 0) != 0;
  l.scale = call.attributes().Float("scale", 1 / std::sqrt(static_cast<double>(l.width)));
  return l;
}

double Dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

absl::Status Attention(const Call& call) {
  const Layout l = LayoutOf(call, 0);
  const Doubles q = call.Input(0);
  const Doubles k = l.packed ? q : call.Input(1), v = l.packed ? q : call.Input(2);
  Doubles y(l.batch * l.queries * l.q_heads * l.width, 0.0), lse(l.batch * l.q_heads * l.queries), scores(l.keys);
  for (int64_t b = 0; b < l.batch; ++b) {
    for (int64_t h = 0; h < l.q_heads; ++h) {
      for (int64_t t = 0; t < l.queries; ++t) {
        const int64_t visible = l.VisibleKeys(t);
        double most = -std::numeric_limits<double>::infinity();
        for (int64_t s = 0; s < visible; ++s) {
          scores[s] = l.scale * Dot(&q[l.q_at(b, t, h)], &k[l.k_at(b, s, h)], l.width);
          most = std::max(most, scores[s]);
        }
        double sum = 0;
        for (int64_t s = 0; s < visible; ++s) sum += std::exp(scores[s] - most);
        for (int64_t s = 0; s < visible; ++s) {
          const double p = std::exp(scores[s] - most) / sum;
          for (int64_t i = 0; i < l.width; ++i) y[l.y_at(b, t, h) + i] += p * v[l.v_at(b, s, h) + i];
        }
        lse[l.lse_at(b, t, h)] = most + std::log(sum);
      }
    }
  }
  call.Set(0, y);
  call.Set(1, lse);
  return absl::OkStatus();
}

// With P = exp(scale Q K' - Lse): dV = P' dY; dS = P * (dY V' - rowsum(dY * Y)); dQ = scale dS K; dK = scale dS' Q.
absl::Status AttentionGrad(const Call& call) {
  const Layout l = LayoutOf(call, 1);
  const Doubles dy = call.Input(0), q = call.Input(1), y = call.Input(4), lse = call.Input(5);
  const Doubles k = l.packed ? q : call.Input(2), v = l.packed ? q : call.Input(3);
  Doubles dq(q.size(), 0.0), separate_dk(l.packed ? 0 : k.size(), 0.0), separate_dv(l.packed ? 0 : v.size(), 0.0);
  Doubles &dk = l.packed ? dq : separate_dk, &dv = l.packed ? dq : separate_dv;
  for (int64_t b = 0; b < l.batch; ++b) {
    for (int64_t h = 0; h < l.q_heads; ++h) {
      for (int64_t t = 0; t < l.queries; ++t) {
        const int64_t at_q = l.q_at(b, t, h), at_y = l.y_at(b, t, h);
        const double dy_y = Dot(&dy[at_y], &y[at_y], l.width);
        for (int64_t s = 0; s < l.VisibleKeys(t); ++s) {
          const int64_t at_k = l.k_at(b, s, h), at_v = l.v_at(b, s, h);
          const double p = std::exp(l.scale * Dot(&q[at_q], &k[at_k], l.width) - lse[l.lse_at(b, t, h)]);
          const double ds = p * (Dot(&dy[at_y], &v[at_v], l.width) - dy_y);
          for (int64_t i = 0; i < l.width; ++i) {
            dv[at_v + i] += p * dy[at_y + i];
            dq[at_q + i] += l.scale * ds * k[at_k + i];
            dk[at_k + i] += l.scale * ds * q[at_q + i];
          }
        }
      }
    }
  }
  call.Set(0, dq);
  if (!l.packed) {
    call.Set(1, dk);
    call.Set(2, dv);
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& AttentionOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"Attention", Attention},
      {"AttentionGrad", AttentionGrad},
  };
  return *operators;
}

}  // namespace millrace::reference
