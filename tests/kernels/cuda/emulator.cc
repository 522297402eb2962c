#include "tests/kernels/cuda/emulator.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace millrace::cuda::emulator {

dim3 thread_index, block_index, block_size, grid_size;
unsigned char* dynamic_shared = nullptr;

namespace {

constexpr int kWarpFloats = 1024;
constexpr size_t kStackBytes = 128 << 10;

// One thread of the block. It is switched by setjmp, which is fast; ucontext only gives it its stack, once.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t start;
  jmp_buf resume;
  bool started = false, finished = false;
  // Waits until the barrier's generation is no longer this one; null: waits for nothing.
  const struct Barrier* at = nullptr;
  int64_t generation = 0;
};

// Opens when `threads` have come, and then begins anew. A thread that has ended never comes: where CUDA would be
// undefined, this waits for ever, which the scheduler notices.
struct Barrier {
  int threads = 0, arrived = 0;
  int64_t generation = 0;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept from block to block
  int threads = 0, current = 0;
  jmp_buf scheduler;
  const std::function<void()>* thread = nullptr;
  Barrier all;
  std::vector<Barrier> warps;
  std::vector<double> words;       // of shuffles, by thread
  std::vector<float> warp_floats;  // by warp
};
Block block;

// Back to the scheduler, until it resumes this fiber.
void Leave() {
  if (_setjmp(block.fibers[block.current]->resume) == 0) _longjmp(block.scheduler, 1);
}

// A fiber runs one thread of one block after the other.
void Enter() {
  for (;;) {
    (*block.thread)();
    block.fibers[block.current]->finished = true;
    Leave();
  }
}

void WaitAt(Barrier& barrier) {
  if (++barrier.arrived == barrier.threads) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  Fiber& fiber = *block.fibers[block.current];
  fiber.at = &barrier;
  fiber.generation = barrier.generation;
  Leave();
}

void Resume(int thread) {
  Fiber& fiber = *block.fibers[thread];
  block.current = thread;
  thread_index = dim3(thread, 0, 0);
  fiber.at = nullptr;
  if (_setjmp(block.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

std::unique_ptr<Fiber> NewFiber() {
  auto fiber = std::make_unique<Fiber>();
  getcontext(&fiber->start);
  fiber->start.uc_stack.ss_sp = fiber->stack.get();
  fiber->start.uc_stack.ss_size = kStackBytes;
  fiber->start.uc_link = nullptr;
  makecontext(&fiber->start, Enter, 0);
  return fiber;
}

void RunBlock() {
  for (int i = 0; i < block.threads; ++i) {
    if (block.fibers.size() <= static_cast<size_t>(i)) block.fibers.push_back(NewFiber());
    block.fibers[i]->finished = false;
  }
  block.all = {.threads = block.threads};
  for (int i = 0; i < static_cast<int>(block.warps.size()); ++i) {
    block.warps[i] = {.threads = std::min(kWarp, block.threads - i * kWarp)};
  }
  for (int left = block.threads; left > 0;) {
    bool moved = false;
    for (int i = 0; i < block.threads; ++i) {
      const Fiber& fiber = *block.fibers[i];
      if (fiber.finished || (fiber.at != nullptr && fiber.at->generation == fiber.generation)) continue;
      Resume(i);
      moved = true;
      if (fiber.finished) --left;
    }
    if (moved) continue;
    std::fprintf(stderr, "emulator: %d of %d threads wait at a barrier that the others never reach\n", left,
                 block.threads);
    std::abort();
  }
}

}  // namespace

int Lane() { return block.current % kWarp; }

float* WarpFloats() { return block.warp_floats.data() + block.current / kWarp * kWarpFloats; }

void SyncThreads() { WaitAt(block.all); }

void SyncWarp() { WaitAt(block.warps[block.current / kWarp]); }

double ShuffleWord(double value, int source) {
  block.words[block.current] = value;
  SyncWarp();
  const double result = block.words[block.current / kWarp * kWarp + source];
  SyncWarp();  // before anybody's next word
  return result;
}

void RunGrid(const Launch& at, const std::function<void()>& thread) {
  static std::mutex one_grid_at_a_time;
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
  block.threads = at.threads;
  block.thread = &thread;
  block.warps.resize(CeilDiv(at.threads, kWarp));
  block.words.assign(at.threads, 0);
  block.warp_floats.assign(CeilDiv(at.threads, kWarp) * kWarpFloats, 0);
  block_size = dim3(at.threads, 1, 1);
  grid_size = dim3(static_cast<unsigned>(at.blocks), at.blocks_y, at.blocks_z);
  std::vector<unsigned char> shared(at.shared_bytes + 64);
  dynamic_shared = shared.data() + (64 - reinterpret_cast<uintptr_t>(shared.data()) % 64);
  for (unsigned z = 0; z < grid_size.z; ++z) {
    for (unsigned y = 0; y < grid_size.y; ++y) {
      for (unsigned x = 0; x < grid_size.x; ++x) {
        block_index = dim3(x, y, z);
        // Shared memory starts with whatever the last block left; here with what shows.
        std::memset(shared.data(), 0xff, shared.size());
        RunBlock();
      }
    }
  }
}

}  // namespace millrace::cuda::emulator
