#include "tests/kernels/cuda/emulator.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace millrace::cuda::emulator {

dim3 thread_index, block_index, block_size, grid_size;
unsigned char* dynamic_shared = nullptr;

namespace {

constexpr size_t kStackBytes = 128 << 10;

// One thread of the block. It is switched by setjmp, which is fast; ucontext only gives it its stack.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t start;
  jmp_buf resume;
  bool started = false, finished = false;
  // Barriers it has passed or stands at; it may go on when all of its warp, or block, stand at least there.
  int64_t block_barriers = 0, warp_barriers = 0;
  enum { kRuns, kAtBlock, kAtWarp } state = kRuns;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept from block to block
  int threads = 0, current = 0;
  jmp_buf scheduler;
  const std::function<void()>* thread = nullptr;
  std::vector<double> words;  // of shuffles, by thread
};
Block block;

void Enter() {
  (*block.thread)();
  block.fibers[block.current]->finished = true;
  _longjmp(block.scheduler, 1);
}

// Back to the scheduler, until it resumes this fiber.
void Leave() {
  if (_setjmp(block.fibers[block.current]->resume) == 0) _longjmp(block.scheduler, 1);
}

// All that have not finished must have come as far. CUDA would be undefined if a finished thread were missed at a block
// barrier; here that counts as never reaching it.
bool MayResume(int thread) {
  const Fiber& fiber = *block.fibers[thread];
  if (fiber.state == Fiber::kRuns) return true;
  const bool warp = fiber.state == Fiber::kAtWarp;
  const int first = warp ? thread / kWarp * kWarp : 0;
  const int last = warp ? std::min(first + kWarp, block.threads) : block.threads;
  for (int i = first; i < last; ++i) {
    const Fiber& other = *block.fibers[i];
    if (warp ? other.warp_barriers < fiber.warp_barriers : other.block_barriers < fiber.block_barriers) return false;
  }
  return true;
}

void Resume(int thread) {
  Fiber& fiber = *block.fibers[thread];
  block.current = thread;
  thread_index = dim3(thread % block_size.x, 0, 0);
  fiber.state = Fiber::kRuns;
  if (_setjmp(block.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

void RunBlock() {
  for (int i = 0; i < block.threads; ++i) {
    if (block.fibers.size() <= static_cast<size_t>(i)) block.fibers.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *block.fibers[i];
    fiber.started = fiber.finished = false;
    fiber.block_barriers = fiber.warp_barriers = 0;
    fiber.state = Fiber::kRuns;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, Enter, 0);
  }
  for (int left = block.threads; left > 0;) {
    bool moved = false;
    for (int i = 0; i < block.threads; ++i) {
      if (block.fibers[i]->finished || !MayResume(i)) continue;
      Resume(i);
      moved = true;
      if (block.fibers[i]->finished) --left;
    }
    if (moved) continue;
    std::fprintf(stderr, "emulator: %d of %d threads wait at a barrier that the others never reach\n", left,
                 block.threads);
    std::abort();
  }
}

}  // namespace

int Lane() { return block.current % kWarp; }

void SyncThreads() {
  Fiber& fiber = *block.fibers[block.current];
  ++fiber.block_barriers;
  fiber.state = Fiber::kAtBlock;
  Leave();
}

void SyncWarp() {
  Fiber& fiber = *block.fibers[block.current];
  ++fiber.warp_barriers;
  fiber.state = Fiber::kAtWarp;
  Leave();
}

double ShuffleWord(double value, int source) {
  block.words[block.current] = value;
  SyncWarp();
  const double result = block.words[block.current / kWarp * kWarp + source];
  SyncWarp();  // before anybody's next word
  return result;
}

void RunGrid(const Launch& at, const std::function<void()>& thread) {
  block.threads = at.threads;
  block.thread = &thread;
  block.words.assign(at.threads, 0);
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
