// How much of REDUCE goes on beside the runs: a step of two replicas without it, with it as planned, and with it behind
// everything, in turns, over gloo. Prints the median step without, the medians of how much longer the
// other two of the same turn were (what is exposed, and REDUCE alone), the one over the other, and how much more
// processor time a rank took with REDUCE than without.
//
//   overlap_benchmark [layers=4] [width=256] [context=128] [micro_batch=4] [micro_batches=4] [steps=15]
//   [vocabulary=2048] [bucket_mib=2; 0: as the predicted step says] [kernels=compute]
//
// kernels=wait: those of RUNs take as long as they did in the first steps, but leave the processor alone, as on a
// device.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/backends.h"
#include "partitioner/graph/gpt2.h"
#include "proto/status_macros.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/gloo/gloo.h"
#include "runtime/plan/op_descs.h"
#include "runtime/worker/worker.h"
#include "tests/benchmarks/waiting_device.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using proto::Instruction;

enum Variant { kWithout, kPlanned, kBehind };

// The same plan with its REDUCEs left out, or one after another in front of NORM.
proto::ExecutionPlan Changed(proto::ExecutionPlan plan, Variant variant) {
  if (variant == kPlanned) return plan;
  for (proto::RankProgram& rank : *plan.mutable_programs(0)->mutable_ranks()) {
    const std::vector<Instruction> old(rank.instructions().begin(), rank.instructions().end());
    std::vector<int> order;  // old indices
    std::vector<int> reduces;
    for (int i = 0; i < static_cast<int>(old.size()); ++i) {
      if (old[i].kind() == Instruction::REDUCE) {
        reduces.push_back(i);
        continue;
      }
      if (old[i].kind() == Instruction::NORM && variant == kBehind) {
        order.insert(order.end(), reduces.begin(), reduces.end());
      }
      order.push_back(i);
    }
    std::vector<int> place(old.size(), -1);
    for (size_t at = 0; at < order.size(); ++at) place[order[at]] = static_cast<int>(at);
    rank.clear_instructions();
    for (int i : order) {
      Instruction& out = *rank.add_instructions();
      out = old[i];
      out.clear_after();
      out.clear_begins();
      if (out.kind() == Instruction::REDUCE) {
        out.set_channel(0);
        continue;
      }
      for (uint32_t earlier : old[i].after()) {
        if (place[earlier] >= 0 && old[earlier].kind() != Instruction::REDUCE) out.add_after(place[earlier]);
      }
    }
  }
  return plan;
}

// User and system time of the process so far.
double ProcessorMs() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) { return t.tv_sec * 1e3 + t.tv_usec * 1e-3; };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

struct StepTime {
  double ms = 0;
  double processor_ms = 0;  // of one rank
};

// Two workers and what they talk over.
class Pair {
 public:
  // `times`: kernels only wait; nullptr: they compute.
  Pair(proto::ExecutionPlan plan, KernelTimes* times) : plan_(std::move(plan)), times_(times) {}

  absl::Status Start() {
    std::vector<std::unique_ptr<Exchange>> exchanges = MakeInProcessExchanges(2);
    return Both([&](int rank) -> absl::Status {
      MR_ASSIGN_OR_RETURN(communicators_[rank], MakeGlooCommunicator(*exchanges[rank]));
      MR_ASSIGN_OR_RETURN(devices_[rank], OpenDevice("cpu", {.index = rank, .threads = 1}));
      if (times_ != nullptr) devices_[rank] = MakeWaitingDevice(std::move(devices_[rank]), times_);
      WorkerOptions options;
      options.rank = rank;
      options.device = devices_[rank].get();
      options.communicator = communicators_[rank].get();
      options.load = RandomTokens(64);
      MR_ASSIGN_OR_RETURN(workers_[rank], Worker::Create(plan_, options));
      MR_RETURN_IF_ERROR(workers_[rank]->InitializeParameters());
      return workers_[rank]->PrepareWeights();
    });
  }

  absl::StatusOr<StepTime> Step() {
    StepSettings settings;
    settings.step = steps_;
    settings.optimizer_step = ++steps_;
    settings.learning_rate = 1e-4;
    const double processor = ProcessorMs();
    const auto start = std::chrono::steady_clock::now();
    MR_RETURN_IF_ERROR(Both([&](int rank) { return workers_[rank]->TrainStep(settings).status(); }));
    return StepTime{std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(),
                    (ProcessorMs() - processor) / 2};
  }

 private:
  template <typename F>
  absl::Status Both(F body) {
    absl::Status status[2];
    std::thread other([&] { status[1] = body(1); });
    status[0] = body(0);
    other.join();
    status[0].Update(status[1]);
    return status[0];
  }

  const proto::ExecutionPlan plan_;
  KernelTimes* const times_;
  uint64_t steps_ = 0;
  std::unique_ptr<Device> devices_[2];
  std::unique_ptr<Communicator> communicators_[2];
  std::unique_ptr<Worker> workers_[2];
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

absl::Status Measure(const proto::ExecutionPlan& plan, int steps, bool wait) {
  KernelTimes kernel_times;
  std::vector<std::unique_ptr<Pair>> pairs;
  std::vector<StepTime> times[3];
  for (const Variant variant : {kWithout, kPlanned, kBehind}) {
    pairs.push_back(std::make_unique<Pair>(Changed(plan, variant), wait ? &kernel_times : nullptr));
    MR_RETURN_IF_ERROR(pairs.back()->Start());
    for (int warm = 0; warm < (wait ? 4 : 1); ++warm) MR_RETURN_IF_ERROR(pairs.back()->Step().status());
  }
  for (int step = 0; step < steps; ++step) {
    for (int v = 0; v < 3; ++v) {
      MR_ASSIGN_OR_RETURN(const StepTime time, pairs[v]->Step());
      times[v].push_back(time);
    }
  }
  std::vector<double> without, exposed, alone, processor;
  for (int step = 0; step < steps; ++step) {
    without.push_back(times[kWithout][step].ms);
    exposed.push_back(times[kPlanned][step].ms - times[kWithout][step].ms);
    alone.push_back(times[kBehind][step].ms - times[kWithout][step].ms);
    processor.push_back(times[kPlanned][step].processor_ms - times[kWithout][step].processor_ms);
  }
  std::printf("%5d %8d %6.1f ms %6.1f ms %6.1f ms %7.2f %6.1f ms\n", plan.shard_optimizer(), plan.buckets_size(),
              Median(without), Median(alone), Median(exposed), Median(exposed) / Median(alone), Median(processor));
  return absl::OkStatus();
}

absl::Status Run(const Gpt2Options& model_options, int64_t micro_batch, int64_t micro_batches, int steps,
                 int64_t bucket_mib, bool wait) {
  MR_ASSIGN_OR_RETURN(const proto::Model model, MakeGpt2(model_options));
  std::printf("%5s %8s %9s %9s %9s %7s %9s\n", "level", "buckets", "without", "reduce", "exposed", "share",
              "processor");
  for (const int level : {0, 1}) {
    PartitionOptions options = OptionsFor("cpu", 2);
    options.pp = 1;
    options.dp = 2;
    options.shard_optimizer = level;
    options.micro_batch = micro_batch;
    options.micro_batches = micro_batches;
    options.bucket_bytes = bucket_mib == 0 ? -1 : bucket_mib << 20;
    options.with_eval = options.with_logits = false;
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, PlanFor(model, options));
    uint64_t bytes = 0;
    for (const proto::PlannedParameter& parameter : plan.parameters()) bytes += GradientSpec(parameter).bytes();
    if (level == 0) std::printf("%.1f MB of gradients\n", bytes * 1e-6);
    MR_RETURN_IF_ERROR(Measure(plan, steps, wait));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  const auto number = [&](int i, int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
  millrace::Gpt2Options model;
  model.layers = number(1, 4);
  model.width = number(2, 256);
  model.heads = std::max<int64_t>(1, model.width / 64);
  model.context = number(3, 128);
  model.vocabulary = number(7, 2048);
  const bool wait = argc > 9 && std::string(argv[9]) == "wait";
  const absl::Status status =
      millrace::Run(model, number(4, 4), number(5, 4), static_cast<int>(number(6, 15)), number(8, 2), wait);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
