#include "kernels/cpu/thread_pool.h"

#include <omp.h>

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

// About 10 microseconds: longer than the gap between two kernels, much shorter than a time slice, so that threads which
// outnumber the cores do not burn each other's time.
constexpr int kSpins = 400;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Returns when the word is no longer `old`.
void AwaitChange(const std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  word.wait(old, std::memory_order_acquire);
}

}  // namespace

SingleThreadedLibrary::SingleThreadedLibrary() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}

SingleThreadedLibrary::~SingleThreadedLibrary() {
  if (before_ != 1) omp_set_num_threads(before_);
}

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { Help(); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Help() {
  const SingleThreadedLibrary single;
  uint32_t seen = 0;
  while (true) {
    AwaitChange(round_, seen);
    if (stopping_.load(std::memory_order_acquire)) return;
    seen = round_.load(std::memory_order_acquire);
    TakeTasks(seen);
  }
}

void ThreadPool::TakeTasks(uint32_t round) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(ticket >> 32) == round && static_cast<uint32_t>(ticket) > 0) {
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
    (*task_)(first_ + (tasks_ - static_cast<uint32_t>(ticket)));
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::RunUpTo(uint32_t tasks, int64_t first, absl::FunctionRef<void(int64_t)> task) {
  tasks_ = tasks;
  first_ = first;
  task_ = &task;
  const uint32_t round = round_.load(std::memory_order_relaxed) + 1;
  unfinished_.store(tasks, std::memory_order_relaxed);
  ticket_.store(static_cast<uint64_t>(round) << 32 | tasks, std::memory_order_release);
  round_.store(round, std::memory_order_release);
  if (tasks > helpers_.size()) {
    round_.notify_all();
  } else {
    for (uint32_t i = 1; i < tasks; ++i) round_.notify_one();
  }
  TakeTasks(round);
  for (uint32_t left; (left = unfinished_.load(std::memory_order_acquire)) != 0;) AwaitChange(unfinished_, left);
}

void ThreadPool::Run(int64_t tasks, absl::FunctionRef<void(int64_t)> task) {
  const SingleThreadedLibrary single;
  if (helpers_.empty() || tasks <= 1) {
    for (int64_t i = 0; i < tasks; ++i) task(i);
    return;
  }
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  for (int64_t first = 0; first < tasks; first += kMost) {
    RunUpTo(static_cast<uint32_t>(std::min(kMost, tasks - first)), first, task);
  }
}

}  // namespace millrace
