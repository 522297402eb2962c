#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_shape.h"
#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_forward.cc"
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

// A tile of queries on its way over the keys. Scores are held transposed, [key][query], so that the running maximum and
// sum of a query stay in one lane and the probabilities feed the second product as they lie.
struct QueryTile {
  int64_t rows;
  float* queries;     // [dim][kTile], scaled, transposed
  float* scores;      // [kTile][kTile]
  float* output;      // [kTile][padded_dim], not yet divided by the sum
  float* maximum;     // [kTile]
  float* sum;         // [kTile]
  float* correction;  // [kTile]: what the output so far must be multiplied by
};

void Scores(const AttentionShape& s, const QueryTile& t, const float* keys, int64_t rows, bool diagonal) {
  if (!diagonal) {
    SmallGemm<false>(rows, t.rows, s.dim, {keys, s.padded_dim, 1}, t.queries, kTile, t.scores, kTile);
    return;
  }
  for (int64_t r = 0; r < rows; r += kStrip) {
    SmallGemm<false>(std::min(kStrip, rows - r), t.rows - r, s.dim, {keys + r * s.padded_dim, s.padded_dim, 1},
                     t.queries + r, kTile, t.scores + r * kTile + r, kTile);
  }
}

// Scores to probabilities relative to the new maximum.
void OnlineSoftmax(const QueryTile& t, int64_t keys, bool diagonal) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t q = 0; q < t.rows; q += lanes) {
    const auto query = hn::Iota(d, static_cast<float>(q));
    const int64_t visible = diagonal ? std::min(keys, (q / kStrip + 1) * kStrip) : keys;
    const int64_t unmasked = diagonal ? std::min(visible, q + 1) : visible;
    float* scores = t.scores + q;
    const auto old = hn::Load(d, t.maximum + q);
    auto top = old;
    for (int64_t k = 0; k < unmasked; ++k) top = hn::Max(top, hn::LoadU(d, scores + k * kTile));
    for (int64_t k = unmasked; k < visible; ++k) {
      const auto seen = hn::Le(hn::Set(d, static_cast<float>(k)), query);
      const auto score =
          hn::IfThenElse(seen, hn::LoadU(d, scores + k * kTile), hn::Set(d, -std::numeric_limits<float>::infinity()));
      hn::StoreU(score, d, scores + k * kTile);
      top = hn::Max(top, score);
    }
    const auto correction = Exp(d, hn::Sub(old, top));
    auto sum = hn::Mul(hn::Load(d, t.sum + q), correction);
    for (int64_t k = 0; k < visible; ++k) {
      const auto p = Exp(d, hn::Sub(hn::LoadU(d, scores + k * kTile), top));
      hn::StoreU(p, d, scores + k * kTile);
      sum = hn::Add(sum, p);
    }
    hn::Store(top, d, t.maximum + q);
    hn::Store(sum, d, t.sum + q);
    hn::Store(correction, d, t.correction + q);
  }
}

// output = output * correction + probabilities * values
void AddValues(const AttentionShape& s, const QueryTile& t, const float* values, int64_t keys, bool diagonal) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t q = 0; q < t.rows; ++q) {
    const auto correction = hn::Set(d, t.correction[q]);
    float* row = t.output + q * s.padded_dim;
    for (int64_t c = 0; c < s.padded_dim; c += lanes) hn::Store(hn::Mul(hn::Load(d, row + c), correction), d, row + c);
  }
  if (!diagonal) {
    SmallGemm<true>(t.rows, s.dim, keys, {t.scores, 1, kTile}, values, s.padded_dim, t.output, s.padded_dim);
    return;
  }
  for (int64_t r = 0; r < t.rows; r += kStrip) {
    SmallGemm<true>(std::min(kStrip, t.rows - r), s.dim, std::min(keys, r + kStrip), {t.scores + r, 1, kTile}, values,
                    s.padded_dim, t.output + r * s.padded_dim, s.padded_dim);
  }
}

void Finish(const AttentionShape& s, const QueryTile& t, float* y, float* lse) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t q = 0; q < t.rows; ++q) {
    const auto inverse = hn::Set(d, t.sum[q] > 0 ? 1.0f / t.sum[q] : 0.0f);  // without keys: 0
    for (int64_t c = 0; c < s.dim; c += lanes) {
      StoreUpTo(hn::Mul(hn::Load(d, t.output + q * s.padded_dim + c), inverse), d, y + q * s.y_row() + c, s.dim - c);
    }
    if (lse != nullptr) lse[q] = t.maximum[q] + std::log(t.sum[q]);
  }
}

void ForwardHead(const AttentionShape& s, const AttentionForward& call, int64_t batch, int64_t head, float* scratch) {
  const int64_t kv_offset = batch * s.keys * s.kv_row + head / s.group_size() * s.dim;
  float* keys = scratch;
  float* values = keys + s.keys * s.padded_dim;
  QueryTile t;
  t.queries = values + s.keys * s.padded_dim;
  t.scores = t.queries + s.padded_dim * kTile;
  t.output = t.scores + kTile * kTile;
  t.maximum = t.output + kTile * s.padded_dim;
  t.sum = t.maximum + kTile;
  t.correction = t.sum + kTile;
  PackRows(call.k + kv_offset, s.kv_row, s.keys, s.dim, keys, s.padded_dim);
  PackRows(call.v + kv_offset, s.kv_row, s.keys, s.dim, values, s.padded_dim);

  for (int64_t q0 = 0; q0 < s.queries; q0 += kTile) {
    t.rows = std::min(kTile, s.queries - q0);
    const float* q = call.q + (batch * s.queries + q0) * s.q_row + head * s.dim;
    PackRows(q, s.q_row, t.rows, s.dim, t.output, s.padded_dim);
    TransposeTile(t.output, t.rows, s.padded_dim, s.scale, t.queries);
    std::fill_n(t.output, kTile * s.padded_dim, 0.0f);
    std::fill_n(t.maximum, kTile, -std::numeric_limits<float>::infinity());
    std::fill_n(t.sum, kTile, 0.0f);
    const int64_t end = s.causal ? std::min(s.keys, q0 + t.rows) : s.keys;
    for (int64_t k0 = 0; k0 < end; k0 += kTile) {
      const int64_t rows = std::min(kTile, end - k0);
      const bool diagonal = s.causal && k0 == q0;
      Scores(s, t, keys + k0 * s.padded_dim, rows, diagonal);
      OnlineSoftmax(t, rows, diagonal);
      AddValues(s, t, values + k0 * s.padded_dim, rows, diagonal);
    }
    Finish(s, t, call.y + (batch * s.queries + q0) * s.y_row() + head * s.dim,
           call.lse == nullptr ? nullptr : call.lse + (batch * s.q_heads + head) * s.queries + q0);
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(ForwardHead);

int64_t AttentionForwardScratch(const AttentionShape& s) {
  return 2 * s.keys * s.padded_dim + 2 * kAttentionTile * s.padded_dim + kAttentionTile * kAttentionTile +
         3 * kAttentionTile;
}

void AttentionForwardHead(const AttentionShape& shape, const AttentionForward& call, int64_t batch, int64_t head,
                          float* scratch) {
  HWY_DYNAMIC_DISPATCH(ForwardHead)(shape, call, batch, head, scratch);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
