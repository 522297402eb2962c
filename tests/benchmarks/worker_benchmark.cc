// What an instruction costs beyond its kernels: toy plans whose kernels do nothing.
//
//   bazel run //tests/benchmarks:worker_benchmark
//
// us_per_instruction is the time of a whole step divided by the instructions of one rank.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "runtime/comm/communicator.h"
#include "runtime/worker/worker.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

// The toy's `after` lists name every earlier instruction; a real plan names the nearest ones.
void KeepNearest(proto::ExecutionPlan* plan) {
  for (proto::Program& program : *plan->mutable_programs()) {
    for (proto::RankProgram& rank : *program.mutable_ranks()) {
      for (proto::Instruction& instruction : *rank.mutable_instructions()) {
        auto* after = instruction.mutable_after();
        if (after->size() > 3) after->erase(after->begin(), after->end() - 3);
      }
    }
  }
}

void Train(benchmark::State& state) {
  ToyOptions toy;
  toy.ranks = toy.stages = static_cast<int>(state.range(0));
  toy.micro_batches = 64;
  proto::ExecutionPlan plan = ToyPlan(toy);
  KeepNearest(&plan);
  ToyDeviceOptions empty;
  empty.empty_kernels = true;
  ToyDevice device(empty);
  std::vector<std::unique_ptr<Communicator>> communicators = MakeInProcessCommunicators(toy.ranks);
  std::vector<std::unique_ptr<Worker>> workers;
  for (int rank = 0; rank < toy.ranks; ++rank) {
    WorkerOptions options;
    options.rank = rank;
    options.device = &device;
    options.communicator = communicators[rank].get();
    options.load = [](const proto::Input&, uint64_t, uint32_t, void*, uint64_t) { return absl::OkStatus(); };
    absl::StatusOr<std::unique_ptr<Worker>> worker = Worker::Create(plan, options);
    if (!worker.ok()) return state.SkipWithError(worker.status().ToString().c_str());
    workers.push_back(*std::move(worker));
  }
  const int steps = 20;
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (auto& worker : workers) {
      threads.emplace_back([&worker] {
        for (int step = 0; step < steps; ++step) benchmark::DoNotOptimize(worker->TrainStep(StepSettings()));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const double instructions = plan.programs(0).ranks(0).instructions_size() * steps;
  state.counters["us_per_instruction"] = benchmark::Counter(
      instructions * 1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(Train)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->UseRealTime()->Unit(benchmark::kMillisecond);

// A transfer of `bytes` there and back between two threads.
void PingPong(benchmark::State& state) {
  const uint64_t bytes = static_cast<uint64_t>(state.range(0));
  std::vector<std::unique_ptr<Communicator>> ranks = MakeInProcessCommunicators(2);
  const int rounds = 1000;
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (int me = 0; me < 2; ++me) {
      threads.emplace_back([&, me] {
        std::vector<char> memory(bytes + 1);
        for (int i = 0; i < 2 * rounds; ++i) {
          const Transfer transfer = {i % 2 == me, 1 - me, static_cast<uint64_t>(i), memory.data(), bytes};
          const auto ticket = ranks[me]->Post({&transfer, 1});
          if (!ticket.ok() || !ranks[me]->Wait(*ticket, nullptr).ok()) state.SkipWithError("a transfer failed");
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  state.counters["us_one_way"] =
      benchmark::Counter(2e-6 * rounds, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(PingPong)->Arg(0)->Arg(4096)->Arg(1 << 20)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
