// What it costs to divide work, and what it costs when more threads than cores do so.
#include <benchmark/benchmark.h>

#include <memory>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/families.h"
#include "kernels/op_desc.h"

namespace millrace {
namespace {

void EmptyTasks(benchmark::State& state) {
  CpuStream stream(state.range(0));
  for (auto _ : state) stream.ParallelFor(8, [](int64_t task) { benchmark::DoNotOptimize(task); });
}
BENCHMARK(EmptyTasks)->ArgName("threads")->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

// A product of 16 x 16 matrices: nearly all of it is the cost of a call.
void SmallMatMul(benchmark::State& state) {
  const TensorSpec small{proto::F32, {16, 16}};
  auto kernel = cpu::NewMatMul({"FusedMatMul", {small, small}, {small}, {}});
  if (!kernel.ok()) return state.SkipWithError(kernel.status().ToString().c_str());
  std::vector<float> a(256), b(256), y(256), scratch((*kernel)->needs().scratch_bytes / 4 + 64);
  void* inputs[] = {a.data(), b.data()};
  void* outputs[] = {y.data()};
  KernelArgs args;
  args.inputs = inputs;
  args.outputs = outputs;
  args.scratch = scratch.data();
  CpuStream stream(state.range(0));
  for (auto _ : state) {
    if (!(*kernel)->Run(stream, args).ok()) return state.SkipWithError("Run failed");
  }
}
BENCHMARK(SmallMatMul)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();

// The same work by `ranks` callers at once, each with a pool of `threads`: 2000 products of 256 x 256 in all.
void Oversubscribed(benchmark::State& state) {
  const int ranks = state.range(0), threads = state.range(1);
  const TensorSpec square{proto::F32, {256, 256}};
  auto kernel = cpu::NewMatMul({"FusedMatMul", {square, square}, {square}, {}});
  if (!kernel.ok()) return state.SkipWithError(kernel.status().ToString().c_str());
  for (auto _ : state) {
    std::vector<std::thread> callers;
    for (int rank = 0; rank < ranks; ++rank) {
      callers.emplace_back([&, rank] {
        CpuStream stream(threads);
        std::vector<float> a(65536), b(65536), y(65536), scratch((*kernel)->needs().scratch_bytes / 4 + 64);
        void* inputs[] = {a.data(), b.data()};
        void* outputs[] = {y.data()};
        KernelArgs args;
        args.inputs = inputs;
        args.outputs = outputs;
        args.scratch = scratch.data();
        for (int i = 0; i < 2000 / ranks; ++i) benchmark::DoNotOptimize((*kernel)->Run(stream, args).ok());
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
}
BENCHMARK(Oversubscribed)
    ->ArgNames({"ranks", "threads"})
    ->Args({1, 1})
    ->Args({2, 1})
    ->Args({1, 2})
    ->Args({1, 8})
    ->Args({4, 2})
    ->Args({8, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
