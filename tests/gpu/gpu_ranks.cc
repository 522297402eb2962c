#include "tests/gpu/gpu_ranks.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda.h"
#include "proto/status_macros.h"
#include "runtime/comm/gloo/gloo.h"
#include "runtime/comm/nccl/nccl.h"
#include "tests/conformance/staged_communicator.h"
#include "tests/gpu/file_exchange.h"

namespace millrace {
namespace {

constexpr int kMostGroups = 4;  // ranks up to which every direction of every pair has its communicator

int Number(const char* name, int otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoi(value);
}

// What a rank stands on, until it is gone.
struct Keep {
  std::unique_ptr<Device> device;
  std::unique_ptr<Exchange> exchange;
};

absl::StatusOr<std::unique_ptr<Device>> OpenGpu(int index) {
  DeviceOptions options;
  options.index = index;
  return OpenCuda(options);
}

absl::StatusOr<std::unique_ptr<Communicator>> Attached(std::shared_ptr<Keep> keep,
                                                       std::unique_ptr<Communicator> inner) {
  Device* const device = keep->device.get();
  MR_RETURN_IF_ERROR(inner->Attach(device));
  return std::make_unique<StagedCommunicator>(std::move(keep), device, std::move(inner));
}

absl::StatusOr<std::unique_ptr<Communicator>> Nccl(int gpu, std::unique_ptr<Exchange> exchange,
                                                   std::unique_ptr<Communicator> control,
                                                   const CommunicatorOptions& waits) {
  auto keep = std::make_shared<Keep>();
  keep->exchange = std::move(exchange);
  MR_ASSIGN_OR_RETURN(keep->device, OpenGpu(gpu));
  NcclOptions options;
  options.waits = waits;
  options.set_up_within = absl::Minutes(1);
  if (control->size() <= kMostGroups) options.groups = AllPairs(control->size());
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> nccl,
                      MakeNcclCommunicator(keep->exchange.get(), std::move(control), options));
  return Attached(std::move(keep), std::move(nccl));
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclOfThisProcess(const CommunicatorOptions& waits) {
  static int made = 0;  // every process makes the same ones in the same order
  const int rank = Number("MILLRACE_GPU_CHECK_RANK", 0), number = made++;
  const char* const root = std::getenv("MILLRACE_GPU_CHECK_FOLDER");
  if (root == nullptr) return absl::FailedPreconditionError("MILLRACE_GPU_CHECK_FOLDER is not set");
  const std::string folder = absl::StrCat(root, "/", number);
  mkdir(folder.c_str(), 0700);  // the first rank's; the others find it
  auto exchange = std::make_unique<FileExchange>(folder, rank, GpuProcesses());
  GlooOptions gloo;
  gloo.waits = waits;
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> control, MakeGlooCommunicator(*exchange, gloo));
  return Nccl(std::min(rank, GpuCount() - 1), std::move(exchange), std::move(control), waits);
}

}  // namespace

int GpuCount() {
  static const int count = [] {
    int found = 0;
    while (OpenGpu(found).ok()) ++found;
    return found;
  }();
  return count;
}

int GpuProcesses() { return Number("MILLRACE_GPU_CHECK_RANKS", 1); }

GpuRanks MakeGpusInProcess(int size, const CommunicatorOptions& waits) {
  if (GpuCount() == 0) return {};
  GpuRanks ranks = MakeInProcessCommunicators(size, waits);
  for (int r = 0; r < size; ++r) {
    auto keep = std::make_shared<Keep>();
    auto device = OpenGpu(r % GpuCount());
    EXPECT_TRUE(device.ok()) << device.status();
    if (!device.ok()) return {};
    keep->device = *std::move(device);
    auto attached = Attached(std::move(keep), std::move(ranks[r]));
    EXPECT_TRUE(attached.ok()) << attached.status();
    if (!attached.ok()) return {};
    ranks[r] = *std::move(attached);
  }
  return ranks;
}

GpuRanks MakeNcclThreads(int size, const CommunicatorOptions& waits) {
  if (GpuCount() < size) return {};
  GpuRanks controls = MakeInProcessCommunicators(size, waits);
  std::vector<std::unique_ptr<Exchange>> exchanges = MakeInProcessExchanges(size);
  GpuRanks ranks(size);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      auto made = Nccl(r, std::move(exchanges[r]), std::move(controls[r]), waits);
      EXPECT_TRUE(made.ok()) << made.status();
      if (made.ok()) ranks[r] = *std::move(made);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const bool whole = std::all_of(ranks.begin(), ranks.end(), [](const auto& rank) { return rank != nullptr; });
  return whole ? std::move(ranks) : GpuRanks();
}

GpuRanks MakeNcclProcess(int size, const CommunicatorOptions& waits) {
  if (GpuCount() == 0) return {};
  GpuRanks ranks(size);
  auto made = NcclOfThisProcess(waits);
  EXPECT_TRUE(made.ok()) << made.status();
  if (!made.ok()) return {};
  const int rank = (*made)->rank();
  ranks[rank] = *std::move(made);
  return ranks;
}

}  // namespace millrace
