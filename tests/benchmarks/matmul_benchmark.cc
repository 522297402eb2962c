// Rates of the oneDNN kernels on GPT-2 124M's shapes (micro-batch of 4 x 256 tokens), beside what oneDNN's own calls
// reach on the same shape. One thread. Read GFLOP/s.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <memory>
#include <string>
#include <vector>

#include "dnnl.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/families.h"
#include "kernels/op_desc.h"

namespace millrace {
namespace {

constexpr int64_t kRows = 1024;

struct Freer {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Freer>;

// Small pseudo-random floats; zero bytes would be multiplied no slower, but their exponentials would all be equal.
Memory Floats(int64_t elements) {
  auto* p = static_cast<float*>(std::aligned_alloc(4096, (elements * 4 / 4096 + 1) * 4096));
  for (int64_t i = 0; i < elements; ++i) p[i] = static_cast<float>((i * 2654435761u >> 8) & 0xffff) / 1048576 - 0.03f;
  return Memory(p);
}

void RunKernel(benchmark::State& state, cpu::KernelOr kernel, const OpDesc& desc, double flops) {
  if (!kernel.ok()) return state.SkipWithError(kernel.status().ToString().c_str());
  std::vector<Memory> held;
  std::vector<void*> inputs, outputs;
  for (const TensorSpec& spec : desc.inputs) {
    held.push_back(Floats(spec.bytes() / 4 + 1));
    if (spec.dtype == proto::I64) {
      for (int64_t i = 0; i < spec.elements(); ++i) static_cast<int64_t*>(held.back().get())[i] = i * 37 % 50000;
    }
    inputs.push_back(spec.present() ? held.back().get() : nullptr);
  }
  for (const TensorSpec& spec : desc.outputs) {
    held.push_back(Floats(spec.bytes() / 4 + 2));
    outputs.push_back(spec.present() ? held.back().get() : nullptr);
  }
  const KernelNeeds& needs = (*kernel)->needs();
  const Memory scratch = Floats(needs.scratch_bytes / 4), packed = Floats(needs.packed_bytes / 4);
  CpuStream stream(1);
  KernelArgs args;
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  args.scratch = scratch.get();
  args.packed = packed.get();
  if (needs.packed_bytes > 0 && !(*kernel)->Pack(stream, args, packed.get()).ok()) {
    return state.SkipWithError("Pack failed");
  }
  for (auto _ : state) {
    if (const absl::Status status = (*kernel)->Run(stream, args); !status.ok()) {
      return state.SkipWithError(status.ToString().c_str());
    }
  }
  state.counters["GFLOP/s"] = benchmark::Counter(flops * state.iterations() * 1e-9, benchmark::Counter::kIsRate);
  state.counters["scratch MiB"] = needs.scratch_bytes / 1048576.0;
}

TensorSpec F32(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }
double Flops(const benchmark::State& state) { return 2.0 * kRows * state.range(0) * state.range(1); }

void Forward(benchmark::State& state, const std::string& activation) {
  const int64_t k = state.range(0), n = state.range(1);
  OpDesc desc = {"FusedMatMul", {F32({kRows, k}), F32({k, n}), F32({n})}, {F32({kRows, n})}, {}};
  if (!activation.empty()) desc.outputs.push_back(F32({kRows, n}));
  desc.attributes.SetInt("packed", 1).SetString("activation", activation);
  RunKernel(state, cpu::NewMatMul(desc), desc, Flops(state));
}

void InputGradient(benchmark::State& state) {
  const int64_t k = state.range(0), n = state.range(1);
  OpDesc desc = {"FusedMatMul", {F32({kRows, n}), F32({k, n})}, {F32({kRows, k})}, {}};
  desc.attributes.SetInt("packed", 1).SetInt("transB", 1);
  RunKernel(state, cpu::NewMatMul(desc), desc, Flops(state));
}

void WeightGradient(benchmark::State& state) {
  const int64_t k = state.range(0), n = state.range(1);
  const OpDesc desc = {"MatMulWeightGrad", {F32({kRows, k}), F32({kRows, n})}, {F32({k, n}), F32({n})}, {}};
  RunKernel(state, cpu::NewMatMulWeightGrad(desc), desc, Flops(state));
}

void LinearCrossEntropy(benchmark::State& state, bool gradients, bool packed) {
  const int64_t c = 768, v = 50257;
  OpDesc desc = {"LinearCrossEntropy",
                 {F32({kRows, c}), F32({v, c}), {proto::I64, {kRows}}},
                 {{proto::F64, {}}, {proto::F64, {}}},
                 {}};
  if (gradients) {
    desc.outputs.push_back(F32({kRows, c}));
    desc.outputs.push_back(F32({v, c}));
  }
  desc.attributes.SetInt("packed", packed);
  RunKernel(state, cpu::NewLinearCrossEntropy(desc), desc, (gradients ? 6.0 : 2.0) * kRows * c * v);
}

// oneDNN's own sgemm on the whole matrices.
void Sgemm(benchmark::State& state, char trans_a, char trans_b, float beta) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const Memory a = Floats(m * k), b = Floats(k * n), c = Floats(m * n);
  omp_set_num_threads(1);
  for (auto _ : state) {
    dnnl_sgemm(trans_a, trans_b, m, n, k, 1, static_cast<float*>(a.get()), trans_a == 'N' ? k : m,
               static_cast<float*>(b.get()), trans_b == 'N' ? n : k, beta, static_cast<float*>(c.get()), n);
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * m * n * k * state.iterations(), benchmark::Counter::kIsRate);
}

void Shapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->ArgNames({"K", "N"});
  b->Args({768, 2304})->Args({768, 768})->Args({768, 3072})->Args({3072, 768});
}
void ForwardShapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->ArgNames({"m", "n", "k"});
  for (const auto& [k, n] : {std::pair{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}) b->Args({kRows, n, k});
}
void InputGradientShapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->ArgNames({"m", "n", "k"});
  for (const auto& [k, n] : {std::pair{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}) b->Args({kRows, k, n});
}
void WeightGradientShapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->ArgNames({"m", "n", "k"});
  for (const auto& [k, n] : {std::pair{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}) b->Args({k, n, kRows});
}

BENCHMARK_CAPTURE(Forward, bias, std::string())->Apply(Shapes);
BENCHMARK_CAPTURE(Forward, gelu_tanh_and_pre, std::string("GeluTanh"))->Apply(Shapes);
BENCHMARK_CAPTURE(Sgemm, forward, 'N', 'N', 0.0f)->Apply(ForwardShapes);
BENCHMARK(InputGradient)->Apply(Shapes);
BENCHMARK_CAPTURE(Sgemm, input_gradient, 'N', 'T', 0.0f)->Apply(InputGradientShapes);
BENCHMARK(WeightGradient)->Apply(Shapes);
BENCHMARK_CAPTURE(Sgemm, weight_gradient, 'T', 'N', 1.0f)->Apply(WeightGradientShapes);
BENCHMARK_CAPTURE(LinearCrossEntropy, train_packed, true, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(LinearCrossEntropy, train, true, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(LinearCrossEntropy, eval_packed, false, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Sgemm, scores, 'N', 'T', 0.0f)->Unit(benchmark::kMillisecond)->Args({kRows, 50257, 768});

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
