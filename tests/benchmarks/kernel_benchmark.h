// Runs one CPU kernel over and over, on one thread.
#ifndef TESTS_BENCHMARKS_KERNEL_BENCHMARK_H_
#define TESTS_BENCHMARKS_KERNEL_BENCHMARK_H_

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/families.h"
#include "kernels/op_desc.h"

namespace millrace {

inline TensorSpec F32(std::vector<int64_t> dims) { return {proto::F32, std::move(dims)}; }

// Reports the rates where `flops`, or bytes of all operands, are those of one call.
inline void RunKernel(benchmark::State& state, cpu::KernelOr kernel, const OpDesc& desc, double flops = 0,
                      double bytes = 0) {
  if (!kernel.ok()) return state.SkipWithError(kernel.status().ToString().c_str());
  struct Freer {
    void operator()(void* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<void, Freer>> held;
  const auto hold = [&held](const TensorSpec& spec, uint64_t size) -> void* {
    held.emplace_back(std::aligned_alloc(4096, (size / 4096 + 1) * 4096));
    for (uint64_t i = 0; i < size / 4; ++i) {
      float value = static_cast<float>((i * 2654435761u >> 8) & 0xffff) / 65536 - 0.5f;
      if (spec.dtype == proto::F32) static_cast<float*>(held.back().get())[i] = value;
    }
    return spec.present() ? held.back().get() : nullptr;
  };
  std::vector<void*> inputs, outputs;
  for (const TensorSpec& spec : desc.inputs) inputs.push_back(hold(spec, spec.bytes()));
  for (const TensorSpec& spec : desc.outputs) outputs.push_back(hold(spec, spec.bytes()));
  // The hyper-parameters of an optimizer.
  if (!desc.inputs.empty() && desc.inputs[0].dtype == proto::F64) {
    const double hyper[10] = {1e-3, 1, 0, 5, 0.9, 0.95, 1e-8, 0.1, 0.9, 0};
    std::copy(hyper, hyper + 10, static_cast<double*>(inputs[0]));
  }
  CpuStream stream(1);
  KernelArgs args;
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  args.scratch = hold({}, (*kernel)->needs().scratch_bytes) == nullptr ? held.back().get() : nullptr;
  for (auto _ : state) {
    if (const absl::Status status = (*kernel)->Run(stream, args); !status.ok()) {
      return state.SkipWithError(status.ToString().c_str());
    }
  }
  using benchmark::Counter;
  const double calls = static_cast<double>(state.iterations());
  if (flops > 0) state.counters["GFLOP/s"] = Counter(flops * calls / 1e9, Counter::kIsRate);
  if (bytes > 0) state.counters["GB/s"] = Counter(bytes * calls / 1e9, Counter::kIsRate);
}

}  // namespace millrace

#endif  // TESTS_BENCHMARKS_KERNEL_BENCHMARK_H_
