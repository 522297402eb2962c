// Generate, verify and simulate: how long a schedule takes to come from nothing to a figure.
#include "benchmark/benchmark.h"
#include "partitioner/schedule/make_schedule.h"

namespace millrace {
namespace {

void Run(benchmark::State& state, const ScheduleRequest& request) {
  const ScheduleCosts costs = CostsOfRequest(request).value();
  for (auto _ : state) {
    const Schedule schedule = MakeSchedule(request).value();
    if (!VerifySchedule(schedule).ok()) return state.SkipWithError("not valid");
    benchmark::DoNotOptimize(SimulateSchedule(schedule, costs)->longest_span);
  }
}

void AutomaticZeroBubble(benchmark::State& state) {
  Run(state, {.kind = "zb-auto",
              .ranks = 32,
              .micro_batches = 256,
              .forward = {10.402},
              .backward_input = {10.248},
              .backward_weight = {7.698},
              .communication = {0.460},
              .memory_limit = 64});
}
BENCHMARK(AutomaticZeroBubble)->Unit(benchmark::kMillisecond);

void Interleaved1F1B(benchmark::State& state) {
  Run(state, {.kind = "interleaved", .ranks = 64, .chunks = 4, .micro_batches = 512});
}
BENCHMARK(Interleaved1F1B)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
