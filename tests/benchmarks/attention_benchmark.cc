// Rates of the attention kernels, one thread. GFLOP/s count the multiplications and additions of the matrix products
// that are needed: two of them forward, five backward, half of each when causal.
#include <benchmark/benchmark.h>

#include "tests/benchmarks/kernel_benchmark.h"

namespace millrace {
namespace {

// Arguments: batch, heads, tokens, head dimension, causal.
void RunAttention(benchmark::State& state, bool grad) {
  const int64_t b = state.range(0), h = state.range(1), t = state.range(2), d = state.range(3);
  const TensorSpec qkv = F32({b, t, 3 * h * d}), y = F32({b, t, h * d}), lse = F32({b, h, t});
  OpDesc desc;
  desc.op = grad ? "AttentionGrad" : "Attention";
  desc.inputs = grad ? std::vector<TensorSpec>{y, qkv, {}, {}, y, lse} : std::vector<TensorSpec>{qkv, {}, {}};
  desc.outputs = grad ? std::vector<TensorSpec>{qkv, {}, {}} : std::vector<TensorSpec>{y, lse};
  desc.attributes.SetInt("q_num_heads", h).SetInt("kv_num_heads", h).SetInt("is_causal", state.range(4));
  const double pairs = static_cast<double>(t) * t * (state.range(4) != 0 ? 0.5 : 1.0);
  RunKernel(state, cpu::NewAttention(desc), desc, 2.0 * b * h * pairs * d * (grad ? 5 : 2));
}

void Attention(benchmark::State& state) { RunAttention(state, false); }
void AttentionGrad(benchmark::State& state) { RunAttention(state, true); }

void Sizes(benchmark::internal::Benchmark* benchmark) {
  for (int causal : {1, 0}) {
    benchmark->Args({4, 12, 256, 64, causal});
    benchmark->Args({1, 12, 1024, 64, causal});
    benchmark->Args({4, 6, 256, 128, causal});
    benchmark->Args({8, 6, 64, 64, causal});
  }
}

BENCHMARK(Attention)->Apply(Sizes);
BENCHMARK(AttentionGrad)->Apply(Sizes);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
