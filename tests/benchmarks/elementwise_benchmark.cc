// Rates of the memory-bound kernels on GPT-2 124M's shapes (micro-batch of 4 x 256 tokens), one thread. GB/s count
// every operand once for each time that it must be read or written.
#include <benchmark/benchmark.h>

#include "tests/benchmarks/kernel_benchmark.h"

namespace millrace {
namespace {

constexpr int64_t kRows = 1024, kWidth = 768, kHidden = 3072;
constexpr int64_t kParameters = 8 << 20;

OpDesc Op(std::string op, std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs) {
  return {std::move(op), std::move(inputs), std::move(outputs), {}};
}

double BytesOf(const OpDesc& desc) {
  double bytes = 0;
  for (const TensorSpec& spec : desc.inputs) bytes += spec.bytes();
  for (const TensorSpec& spec : desc.outputs) bytes += spec.bytes();
  return bytes;
}

void Add(benchmark::State& state) {
  const OpDesc desc = Op("Add", {F32({kRows, kWidth}), F32({kRows, kWidth})}, {F32({kRows, kWidth})});
  RunKernel(state, cpu::NewElementwise(desc), desc, 0, BytesOf(desc));
}
void AddBias(benchmark::State& state) {
  const OpDesc desc = Op("Add", {F32({kRows, kHidden}), F32({kHidden})}, {F32({kRows, kHidden})});
  RunKernel(state, cpu::NewElementwise(desc), desc, 0, BytesOf(desc));
}
void Gelu(benchmark::State& state, const char* approximate) {
  OpDesc desc = Op("Gelu", {F32({kRows, kHidden})}, {F32({kRows, kHidden})});
  desc.attributes.SetString("approximate", approximate);
  RunKernel(state, cpu::NewElementwise(desc), desc, 0, BytesOf(desc));
}
void GeluGrad(benchmark::State& state, const char* approximate) {
  OpDesc desc = Op("GeluGrad", {F32({kRows, kHidden}), F32({kRows, kHidden})}, {F32({kRows, kHidden})});
  desc.attributes.SetString("approximate", approximate);
  RunKernel(state, cpu::NewElementwise(desc), desc, 0, BytesOf(desc));
}
void Dropout(benchmark::State& state) {
  const OpDesc desc = Op("Dropout", {F32({kRows, kWidth})}, {F32({kRows, kWidth})});
  RunKernel(state, cpu::NewElementwise(desc), desc, 0, BytesOf(desc));
}
void LayerNormalization(benchmark::State& state) {
  const TensorSpec x = F32({kRows, kWidth}), c = F32({kWidth}), s = F32({kRows, 1});
  const OpDesc desc = Op("LayerNormalization", {x, c, c}, {x, s, s});
  RunKernel(state, cpu::NewNormalization(desc), desc, 0, BytesOf(desc));
}
void LayerNormalizationGrad(benchmark::State& state) {
  const TensorSpec x = F32({kRows, kWidth}), c = F32({kWidth}), s = F32({kRows, 1});
  const OpDesc desc = Op("LayerNormalizationGrad", {x, x, c, s, s}, {x, c, c});
  RunKernel(state, cpu::NewNormalization(desc), desc, 0, BytesOf(desc));
}
void Softmax(benchmark::State& state) {
  const OpDesc desc = Op("Softmax", {F32({64, 50257})}, {F32({64, 50257})});
  RunKernel(state, cpu::NewSoftmax(desc), desc, 0, BytesOf(desc));
}
void Transpose(benchmark::State& state) {
  OpDesc desc = Op("Transpose", {F32({4, 256, 12, 64})}, {F32({4, 12, 64, 256})});
  desc.attributes.SetInts("perm", {0, 2, 3, 1});
  RunKernel(state, cpu::NewShape(desc), desc, 0, BytesOf(desc));
}
void AdamW(benchmark::State& state) {
  const TensorSpec p = F32({kParameters});
  const OpDesc desc = Op("AdamW", {{proto::F64, {10}}}, {p, p, p, p});
  RunKernel(state, cpu::NewOptimizer(desc), desc, 0, 2 * BytesOf(desc));  // read and written
}
void SquaredSums(benchmark::State& state) {
  OpDesc desc = Op("SquaredSums", {F32({kParameters})}, {{proto::F64, {kParameters / 1024}}});
  desc.attributes.SetInt("block", 1024);
  RunKernel(state, cpu::NewOptimizer(desc), desc, 0, BytesOf(desc));
}

BENCHMARK(Add);
BENCHMARK(AddBias);
BENCHMARK_CAPTURE(Gelu, erf, "none");
BENCHMARK_CAPTURE(Gelu, tanh, "tanh");
BENCHMARK_CAPTURE(GeluGrad, erf, "none");
BENCHMARK_CAPTURE(GeluGrad, tanh, "tanh");
BENCHMARK(Dropout);
BENCHMARK(LayerNormalization);
BENCHMARK(LayerNormalizationGrad);
BENCHMARK(Softmax);
BENCHMARK(Transpose);
BENCHMARK(AdamW);
BENCHMARK(SquaredSums);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
