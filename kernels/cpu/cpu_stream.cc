#include "kernels/cpu/cpu_stream.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/thread_pool.h"

namespace millrace {
namespace {

constexpr uint64_t kBytesPerTask = 1 << 20;

}  // namespace

CpuStream::CpuStream(int threads) : pool_(std::make_unique<ThreadPool>(threads)) {}

CpuStream::~CpuStream() = default;

int CpuStream::threads() const { return pool_->threads(); }

void CpuStream::ParallelFor(int64_t tasks, absl::FunctionRef<void(int64_t task)> task) { pool_->Run(tasks, task); }

absl::Status CpuStream::Record(Event*) { return absl::OkStatus(); }

absl::Status CpuStream::WaitFor(Event* event) { return event->Wait(); }

absl::Status CpuStream::Synchronize() { return absl::OkStatus(); }

absl::Status CpuStream::Copy(void* to, const void* from, uint64_t bytes) {
  ParallelFor((bytes + kBytesPerTask - 1) / kBytesPerTask, [=](int64_t task) {
    const uint64_t begin = task * kBytesPerTask;
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                std::min(kBytesPerTask, bytes - begin));
  });
  return absl::OkStatus();
}

absl::Status CpuStream::Zero(void* to, uint64_t bytes) {
  ParallelFor((bytes + kBytesPerTask - 1) / kBytesPerTask, [=](int64_t task) {
    const uint64_t begin = task * kBytesPerTask;
    std::memset(static_cast<char*>(to) + begin, 0, std::min(kBytesPerTask, bytes - begin));
  });
  return absl::OkStatus();
}

}  // namespace millrace
