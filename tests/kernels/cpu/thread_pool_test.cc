#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_stream.h"

namespace millrace {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t tasks : {0, 1, 2, 3, 100}) {
      for (int round = 0; round < 200; ++round) {
        std::vector<std::atomic<int>> ran(tasks);
        pool.Run(tasks, [&](int64_t task) { ran[task].fetch_add(1); });
        for (int64_t i = 0; i < tasks; ++i) ASSERT_EQ(ran[i].load(), 1) << "task " << i << " of " << tasks;
      }
    }
  }
}

// Every thread of the pool must take part: each task waits for the others.
TEST(ThreadPool, TasksRunAtTheSameTime) {
  ThreadPool pool(3);
  std::atomic<int> arrived{0};
  pool.Run(3, [&](int64_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 3) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 3);
}

TEST(ThreadPool, HelpersThatSleptWakeUp) {
  ThreadPool pool(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> arrived{0};
    pool.Run(2, [&](int64_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
  }
}

// Many more threads than cores, several pools at once.
TEST(ThreadPool, OversubscribedPoolsStayRight) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> wrong{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&wrong] {
      ThreadPool pool(8);
      for (int64_t round = 1; round <= 300; ++round) {
        std::atomic<int64_t> sum{0};
        pool.Run(round, [&](int64_t task) { sum.fetch_add(task + 1); });
        if (sum.load() != round * (round + 1) / 2) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ThreadPool, LibraryIsSingleThreadedInsideAndAsBeforeOutside) {
  omp_set_num_threads(3);
  ThreadPool pool(2);
  std::atomic<int> most{0};
  pool.Run(64, [&](int64_t) {
    if (omp_get_max_threads() > most.load()) most.store(omp_get_max_threads());
  });
  EXPECT_EQ(most.load(), 1);
  EXPECT_EQ(omp_get_max_threads(), 3);
}

TEST(CpuStream, CopiesAndZeroesAnySize) {
  CpuStream stream(2);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 20, (uint64_t{5} << 19) + 3}) {
    std::vector<char> from(bytes + 1, 'a'), to(bytes + 1, 'z');
    ASSERT_EQ(stream.Copy(to.data(), from.data(), bytes), absl::OkStatus());
    EXPECT_EQ(std::string(to.data(), bytes), std::string(bytes, 'a'));
    EXPECT_EQ(to[bytes], 'z');
    ASSERT_EQ(stream.Zero(to.data(), bytes), absl::OkStatus());
    EXPECT_EQ(std::string(to.data(), bytes), std::string(bytes, '\0'));
    EXPECT_EQ(to[bytes], 'z');
  }
}

}  // namespace
}  // namespace millrace
