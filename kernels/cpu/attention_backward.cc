#include <algorithm>
#include <utility>

#include "kernels/cpu/attention_shape.h"
#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_tile-inl.h"
#include "kernels/cpu/small_gemm-inl.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kTile = kAttentionTile;
constexpr int64_t kStrip = kAttentionStrip;

// A tile of queries with what it needs against every tile of keys. "Transposed" tiles are [..][kTile], one query a
// lane.
struct QueryTile {
  int64_t rows;
  float *q, *dy, *dq;         // [kTile][padded_dim]
  float* q_transposed;        // [padded_dim][kTile], scaled
  float* dy_transposed;       // [padded_dim][kTile]
  float *probabilities, *ds;  // [kTile][kTile], [key][query]
  float *lse, *delta;         // [kTile]
};

// A tile of keys and where its gradients gather, all [rows][padded_dim].
struct KeyTile {
  int64_t rows;
  const float *k, *v;
  float *dk, *dv;
};

void LoadQueries(const AttentionShape& s, const AttentionBackward& call, int64_t batch, int64_t head, int64_t q0,
                 QueryTile& t) {
  const FloatTag d;
  t.rows = std::min(kTile, s.queries - q0);
  const int64_t row = batch * s.queries + q0;
  const float* y = call.y + row * s.y_row() + head * s.dim;
  const float* lse = call.lse + (batch * s.q_heads + head) * s.queries + q0;
  PackRows(call.q + row * s.q_row + head * s.dim, s.q_row, t.rows, s.dim, t.q, s.padded_dim);
  PackRows(call.dy + row * s.y_row() + head * s.dim, s.y_row(), t.rows, s.dim, t.dy, s.padded_dim);
  TransposeTile(t.q, t.rows, s.padded_dim, s.scale, t.q_transposed);
  TransposeTile(t.dy, t.rows, s.padded_dim, 1.0f, t.dy_transposed);
  std::fill_n(t.dq, kTile * s.padded_dim, 0.0f);
  for (int64_t q = 0; q < kTile; ++q) {
    t.lse[q] = q < t.rows ? lse[q] : 0.0f;
    t.delta[q] = q < t.rows ? SumOver(d, s.dim,
                                      [&](size_t i, size_t n) HWY_ATTR {
                                        return hn::Mul(LoadUpTo(d, t.dy + q * s.padded_dim + i, n),
                                                       LoadUpTo(d, y + q * s.y_row() + i, n));
                                      })
                            : 0.0f;
  }
}

// C [key][query] = keys * transposed; on the diagonal only what some query of the strip sees.
void KeysTimesQueries(const AttentionShape& s, const float* keys, int64_t rows, const float* transposed,
                      int64_t queries, bool diagonal, float* c) {
  if (!diagonal) {
    SmallGemm<false>(rows, queries, s.dim, {keys, s.padded_dim, 1}, transposed, kTile, c, kTile);
    return;
  }
  for (int64_t r = 0; r < rows; r += kStrip) {
    SmallGemm<false>(std::min(kStrip, rows - r), queries - r, s.dim, {keys + r * s.padded_dim, s.padded_dim, 1},
                     transposed + r, kTile, c + r * kTile + r, kTile);
  }
}

// P = exp(scores - lse), dS = P * (dP - delta) * scale, in place of scores and dP; 0 above the diagonal.
void ProbabilitiesAndGradient(const AttentionShape& s, const QueryTile& t, int64_t keys, bool diagonal) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, s.scale);
  for (int64_t q = 0; q < t.rows; q += lanes) {
    const auto query = hn::Iota(d, static_cast<float>(q));
    const auto lse = hn::Load(d, t.lse + q), delta = hn::Load(d, t.delta + q);
    const int64_t visible = diagonal ? std::min(keys, (q / kStrip + 1) * kStrip) : keys;
    for (int64_t k = 0; k < visible; ++k) {
      float* p_at = t.probabilities + k * kTile + q;
      float* ds_at = t.ds + k * kTile + q;
      auto p = Exp(d, hn::Sub(hn::LoadU(d, p_at), lse));
      auto ds = hn::Mul(hn::Mul(p, scale), hn::Sub(hn::LoadU(d, ds_at), delta));
      if (diagonal && k > q) {
        const auto seen = hn::Le(hn::Set(d, static_cast<float>(k)), query);
        p = hn::IfThenElseZero(seen, p);
        ds = hn::IfThenElseZero(seen, ds);
      }
      hn::StoreU(p, d, p_at);
      hn::StoreU(ds, d, ds_at);
    }
  }
}

// to [key][dim] += c [key][query] * rows [query][dim]
void AddToKeys(const AttentionShape& s, const float* c, const float* rows, int64_t queries, int64_t keys, bool diagonal,
               float* to) {
  if (!diagonal) {
    SmallGemm<true>(keys, s.dim, queries, {c, kTile, 1}, rows, s.padded_dim, to, s.padded_dim);
    return;
  }
  for (int64_t r = 0; r < keys; r += kStrip) {
    SmallGemm<true>(std::min(kStrip, keys - r), s.dim, queries - r, {c + r * kTile + r, kTile, 1},
                    rows + r * s.padded_dim, s.padded_dim, to + r * s.padded_dim, s.padded_dim);
  }
}

// dQ [query][dim] += dS' * K
void AddToQueries(const AttentionShape& s, const QueryTile& t, const KeyTile& k, bool diagonal) {
  if (!diagonal) {
    SmallGemm<true>(t.rows, s.dim, k.rows, {t.ds, 1, kTile}, k.k, s.padded_dim, t.dq, s.padded_dim);
    return;
  }
  for (int64_t r = 0; r < t.rows; r += kStrip) {
    SmallGemm<true>(std::min(kStrip, t.rows - r), s.dim, std::min(k.rows, r + kStrip), {t.ds + r, 1, kTile}, k.k,
                    s.padded_dim, t.dq + r * s.padded_dim, s.padded_dim);
  }
}

void TilePair(const AttentionShape& s, const QueryTile& t, const KeyTile& k, bool diagonal) {
  KeysTimesQueries(s, k.k, k.rows, t.q_transposed, t.rows, diagonal, t.probabilities);
  KeysTimesQueries(s, k.v, k.rows, t.dy_transposed, t.rows, diagonal, t.ds);
  ProbabilitiesAndGradient(s, t, k.rows, diagonal);
  AddToKeys(s, t.probabilities, t.dy, t.rows, k.rows, diagonal, k.dv);
  AddToKeys(s, t.ds, t.q, t.rows, k.rows, diagonal, k.dk);
  AddToQueries(s, t, k, diagonal);
}

void BackwardHead(const AttentionShape& s, const AttentionBackward& call, int64_t batch, int64_t kv_head,
                  float* scratch) {
  const int64_t kv_offset = batch * s.keys * s.kv_row + kv_head * s.dim;
  const int64_t kv_floats = s.keys * s.padded_dim, tile_floats = kTile * s.padded_dim;
  float* next = scratch;
  const auto take = [&next](int64_t floats) { return std::exchange(next, next + floats); };
  float *k = take(kv_floats), *v = take(kv_floats), *dk = take(kv_floats), *dv = take(kv_floats);
  QueryTile t;
  t.q = take(tile_floats), t.dy = take(tile_floats), t.dq = take(tile_floats);
  t.q_transposed = take(tile_floats), t.dy_transposed = take(tile_floats);
  t.probabilities = take(kTile * kTile), t.ds = take(kTile * kTile);
  t.lse = take(kTile), t.delta = take(kTile);
  PackRows(call.k + kv_offset, s.kv_row, s.keys, s.dim, k, s.padded_dim);
  PackRows(call.v + kv_offset, s.kv_row, s.keys, s.dim, v, s.padded_dim);
  std::fill_n(dk, 2 * kv_floats, 0.0f);

  for (int64_t head = kv_head * s.group_size(); head < (kv_head + 1) * s.group_size(); ++head) {
    for (int64_t q0 = 0; q0 < s.queries; q0 += kTile) {
      LoadQueries(s, call, batch, head, q0, t);
      const int64_t end = s.causal ? std::min(s.keys, q0 + t.rows) : s.keys;
      for (int64_t k0 = 0; k0 < end; k0 += kTile) {
        const int64_t at = k0 * s.padded_dim;
        TilePair(s, t, {std::min(kTile, end - k0), k + at, v + at, dk + at, dv + at}, s.causal && k0 == q0);
      }
      UnpackRows(t.dq, s.padded_dim, t.rows, s.dim, call.dq + (batch * s.queries + q0) * s.q_row + head * s.dim,
                 s.q_row);
    }
  }
  UnpackRows(dk, s.padded_dim, s.keys, s.dim, call.dk + kv_offset, s.kv_row);
  UnpackRows(dv, s.padded_dim, s.keys, s.dim, call.dv + kv_offset, s.kv_row);
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(BackwardHead);

int64_t AttentionBackwardScratch(const AttentionShape& s) {
  return 4 * s.keys * s.padded_dim + 5 * kAttentionTile * s.padded_dim + 2 * kAttentionTile * kAttentionTile +
         2 * kAttentionTile;
}

void AttentionBackwardHead(const AttentionShape& shape, const AttentionBackward& call, int64_t batch, int64_t head,
                           float* scratch) {
  HWY_DYNAMIC_DISPATCH(BackwardHead)(shape, call, batch, head, scratch);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
