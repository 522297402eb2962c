// CUDA kernels on the host. Included before a .cu file that g++ compiles (copts = ["-include", ...]), it gives device
// code its words and runs grids: block after block, every thread of a block as a fiber that runs until it meets a
// barrier. Slow, sequential, and the same arithmetic as the device but for fused multiply-add. What it finds: wrong
// indices, wrong tails, barriers that not all threads reach, reductions of the wrong lanes. What it cannot find: races
// between barriers, and everything about speed.
//
// One block runs at a time, so `__shared__` variables are simply static.
#ifndef TESTS_KERNELS_CUDA_EMULATOR_H_
#define TESTS_KERNELS_CUDA_EMULATOR_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/launch.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __restrict__
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define MR_DYNAMIC_SHARED(name) unsigned char* name = ::millrace::cuda::emulator::dynamic_shared

namespace millrace::cuda::emulator {

// Of the fiber that runs.
extern dim3 thread_index, block_index, block_size, grid_size;
extern unsigned char* dynamic_shared;

// Runs `thread` once for every thread of the grid. Aborts the program, with a message, when threads of a block wait at
// barriers that the others never reach.
void RunGrid(const Launch& at, const std::function<void()>& thread);

void SyncThreads();
void SyncWarp();
// Every lane of the warp calls it; gives the value of lane `source`.
double ShuffleWord(double value, int source);
int Lane();
// Storage that the lanes of a warp share, for 1024 floats.
float* WarpFloats();

}  // namespace millrace::cuda::emulator

#define threadIdx ::millrace::cuda::emulator::thread_index
#define blockIdx ::millrace::cuda::emulator::block_index
#define blockDim ::millrace::cuda::emulator::block_size
#define gridDim ::millrace::cuda::emulator::grid_size

using std::max;
using std::min;

inline void __syncthreads() { millrace::cuda::emulator::SyncThreads(); }
inline void __syncwarp(unsigned = ~0u) { millrace::cuda::emulator::SyncWarp(); }

// Any value of up to 8 bytes travels as the bits of a double.
template <typename T>
T ShuffleFrom(T value, int source) {
  static_assert(sizeof(T) <= sizeof(double));
  double word = 0;
  __builtin_memcpy(&word, &value, sizeof(T));
  word = millrace::cuda::emulator::ShuffleWord(word, source);
  __builtin_memcpy(&value, &word, sizeof(T));
  return value;
}
template <typename T>
T __shfl_sync(unsigned, T value, int source, int width = 32) {
  const int lane = millrace::cuda::emulator::Lane();
  return ShuffleFrom(value, lane / width * width + source % width);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const int lane = millrace::cuda::emulator::Lane(), source = lane ^ mask;
  return ShuffleFrom(value, source / width == lane / width ? source : lane);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, int delta, int width = 32) {
  const int lane = millrace::cuda::emulator::Lane(), source = lane + delta;
  return ShuffleFrom(value, source / width == lane / width ? source : lane);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, int delta, int width = 32) {
  const int lane = millrace::cuda::emulator::Lane(), source = lane - delta;
  return ShuffleFrom(value, source >= 0 && source / width == lane / width ? source : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane) ballot |= static_cast<unsigned>(ShuffleFrom(predicate != 0, lane)) << lane;
  return ballot;
}

// Blocks and fibers take turns, so plain arithmetic is atomic.
template <typename T, typename V>
T atomicAdd(T* at, V value) {
  const T old = *at;
  *at += static_cast<T>(value);
  return old;
}
template <typename T, typename V>
T atomicMax(T* at, V value) {
  const T old = *at;
  if (static_cast<T>(value) > old) *at = static_cast<T>(value);
  return old;
}
template <typename T, typename V>
T atomicMin(T* at, V value) {
  const T old = *at;
  if (static_cast<T>(value) < old) *at = static_cast<T>(value);
  return old;
}
template <typename T, typename V>
T atomicExch(T* at, V value) {
  const T old = *at;
  *at = static_cast<T>(value);
  return old;
}
template <typename T, typename V>
T atomicCAS(T* at, V expected, V value) {
  const T old = *at;
  if (old == static_cast<T>(expected)) *at = static_cast<T>(value);
  return old;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <typename T>
T __ldg(const T* at) {
  return *at;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }

namespace millrace::cuda {

// The tensor core's product, by the layout of fragments that kernels/cuda/mma.cuh describes.
template <typename T>
void MultiplyAdd(T, const uint32_t (&a)[4], uint32_t b0, uint32_t b1, float (&d)[4]) {
  float* const a_floats = emulator::WarpFloats();  // [16][16]
  float* const b_floats = a_floats + 16 * 16;      // [16][8]
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  const auto half = [](uint32_t pair, int i) {
    const uint16_t bits = static_cast<uint16_t>(pair >> (16 * i));
    T value;
    __builtin_memcpy(static_cast<void*>(&value), &bits, sizeof(bits));
    return static_cast<float>(value);
  };
  for (int i = 0; i < 2; ++i) {
    for (int r = 0; r < 4; ++r) a_floats[(g + r % 2 * 8) * 16 + 2 * t + r / 2 * 8 + i] = half(a[r], i);
    b_floats[(2 * t + i) * 8 + g] = half(b0, i);
    b_floats[(2 * t + 8 + i) * 8 + g] = half(b1, i);
  }
  emulator::SyncWarp();
  for (int r = 0; r < 4; ++r) {
    for (int k = 0; k < 16; ++k) d[r] += a_floats[(g + r / 2 * 8) * 16 + k] * b_floats[k * 8 + 2 * t + r % 2];
  }
  emulator::SyncWarp();
}

template <bool kTransposed>
void LoadMatrices(const void* row, uint32_t (&out)[4]) {
  const void** const rows = reinterpret_cast<const void**>(emulator::WarpFloats());
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  rows[emulator::Lane()] = row;
  emulator::SyncWarp();
  for (int matrix = 0; matrix < 4; ++matrix) {
    const auto at = [&](int i, int j) { return uint32_t{static_cast<const uint16_t*>(rows[matrix * 8 + i])[j]}; };
    out[matrix] = kTransposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
  }
  emulator::SyncWarp();
}

// Refuses what a device would refuse, so that a wrong launch fails here too.
template <typename... Parameters, typename... Args>
Code LaunchKernel(void (*kernel)(Parameters...), const Launch& at, StreamHandle, Args... args) {
  if (at.empty()) return kSuccess;
  constexpr int kMostShared = 227 << 10;
  if (at.blocks < 0 || at.blocks > kMostGridX || at.blocks_y < 0 || at.blocks_y > kMostGridYZ || at.blocks_z < 0 ||
      at.blocks_z > kMostGridYZ || at.threads < 1 || at.threads > kMostThreads || at.shared_bytes > kMostShared) {
    return kInvalidValue;
  }
  const std::tuple<Parameters...> parameters(args...);
  emulator::RunGrid(at, [&] { std::apply(kernel, parameters); });
  return kSuccess;
}

}  // namespace millrace::cuda

#endif  // TESTS_KERNELS_CUDA_EMULATOR_H_
