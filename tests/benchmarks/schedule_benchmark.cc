// Generate, verify and simulate: how long a schedule takes to come from nothing to a figure.
#include <cmath>

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

// Every stage and every transfer has a time of its own.
void AutomaticZeroBubbleUneven(benchmark::State& state) {
  ScheduleRequest request = {.kind = "zb-auto", .ranks = 32, .micro_batches = 256};
  request.memory_limit = static_cast<double>(state.range(0));
  for (int r = 0; r < request.ranks; ++r) {
    const double own = 1 + 0.2 * std::sin(2.4 * r);
    request.forward.push_back(10.402 * own);
    request.backward_input.push_back(10.248 * own);
    request.backward_weight.push_back(7.698 * own);
    request.communication.push_back(r % 8 == 7 ? 1.3 : 0.46);
  }
  Run(state, request);
}
BENCHMARK(AutomaticZeroBubbleUneven)->Unit(benchmark::kMillisecond)->Arg(64)->Arg(0);

void Interleaved1F1B(benchmark::State& state) {
  Run(state, {.kind = "interleaved", .ranks = 64, .chunks = 4, .micro_batches = 512});
}
BENCHMARK(Interleaved1F1B)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
