// A few threads that help one caller with independent tasks.
#ifndef KERNELS_CPU_THREAD_POOL_H_
#define KERNELS_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace millrace {

// While it lives, OpenMP (and so oneDNN) runs single-threaded on this thread.
class SingleThreadedLibrary {
 public:
  SingleThreadedLibrary();
  ~SingleThreadedLibrary();
  SingleThreadedLibrary(const SingleThreadedLibrary&) = delete;
  SingleThreadedLibrary& operator=(const SingleThreadedLibrary&) = delete;

 private:
  int before_;
};

// The caller takes tasks too, and waits only for tasks that another thread has begun: a helper that the system does not
// let run holds nobody up. Waiting threads spin for some microseconds, then sleep. Used by one thread at a time.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1, the caller included
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }
  // task(0) ... task(tasks - 1), each once; returns when all have returned. Tasks are begun in order, must not throw,
  // and must not call Run on the same pool.
  void Run(int64_t tasks, absl::FunctionRef<void(int64_t)> task);

 private:
  void Help();
  void RunUpTo(uint32_t tasks, int64_t first, absl::FunctionRef<void(int64_t)> task);
  void TakeTasks(uint32_t round);

  // Upper half: round, raised by each RunUpTo. Lower half: tasks of the round that nobody has begun. One word, so that
  // a helper which wakes up late cannot take a task of a round that is over.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> round_{0};       // what helpers sleep on
  std::atomic<uint32_t> unfinished_{0};  // what the caller sleeps on
  std::atomic<bool> stopping_{false};
  // Of the present round; a thread that has begun one of its tasks may read them.
  uint32_t tasks_ = 0;
  int64_t first_ = 0;
  const absl::FunctionRef<void(int64_t)>* task_ = nullptr;
  std::vector<std::thread> helpers_;
};

}  // namespace millrace

#endif  // KERNELS_CPU_THREAD_POOL_H_
