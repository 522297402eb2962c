// The emulator itself: barriers, shuffles, fragments of the tensor cores. Compiled as a .cu file would be.
#include "tests/kernels/cuda/emulator.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/mma.cuh"

namespace millrace::cuda {
namespace {

Launch OneBlock(int threads) {
  Launch at;
  at.blocks = 1;
  at.threads = threads;
  return at;
}

__global__ void ReverseKernel(const int* from, int* to) {
  __shared__ int values[256];
  values[threadIdx.x] = from[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

TEST(Emulator, BlockSharesMemoryBetweenBarriers) {
  std::vector<int> from(3 * 64), to(3 * 64, -1);
  std::iota(from.begin(), from.end(), 0);
  Launch at = OneBlock(64);
  at.blocks = 3;
  ASSERT_EQ(LaunchKernel(ReverseKernel, at, nullptr, from.data(), to.data()), kSuccess);
  for (int i = 0; i < 3 * 64; ++i) EXPECT_EQ(to[i], i / 64 * 64 + 63 - i % 64);
}

__global__ void SumKernel(const double* from, double* sums) {
  __shared__ double shared[kWarp];
  sums[threadIdx.x] = BlockReduce(from[threadIdx.x], SumOf(), shared);
}

TEST(Emulator, BlockReduceGivesEveryThreadTheSameSum) {
  std::vector<double> from(160), sums(160);
  std::iota(from.begin(), from.end(), 1);
  ASSERT_EQ(LaunchKernel(SumKernel, OneBlock(160), nullptr, from.data(), sums.data()), kSuccess);
  for (double sum : sums) EXPECT_EQ(sum, 160 * 161 / 2);
}

__global__ void LonelyBarrierKernel() {
  if (threadIdx.x == 0) __syncthreads();
}

TEST(EmulatorDeathTest, NoticesABarrierThatNotAllReach) {
  EXPECT_DEATH(LaunchKernel(LonelyBarrierKernel, OneBlock(32), nullptr), "barrier that the others never reach");
}

TEST(Emulator, RefusesWhatADeviceWould) {
  EXPECT_EQ(LaunchKernel(LonelyBarrierKernel, OneBlock(1025), nullptr), kInvalidValue);
  Launch tall = OneBlock(32);
  tall.blocks_y = 65536;
  EXPECT_EQ(LaunchKernel(LonelyBarrierKernel, tall, nullptr), kInvalidValue);
  EXPECT_EQ(LaunchKernel(LonelyBarrierKernel, Launch(), nullptr), kSuccess);  // nothing is launched for nothing
}

// D = A B with A [16,16] and B [16,8], loaded from row-major A and B by ldmatrix.
__global__ void FragmentKernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* d) {
  const int lane = threadIdx.x;
  uint32_t a_part[4], b_part[4];
  LoadMatrices<false>(a + lane % 16 * 16 + lane / 16 * 8, a_part);
  LoadMatrices<true>(b + lane % 16 * 8, b_part);  // two matrices; lanes 16 to 31 repeat them
  float sums[4] = {};
  MultiplyAdd(__nv_bfloat16(), a_part, b_part[0], b_part[1], sums);
  const int g = lane / 4, t = lane % 4;
  d[g * 8 + 2 * t] = sums[0];
  d[g * 8 + 2 * t + 1] = sums[1];
  d[(g + 8) * 8 + 2 * t] = sums[2];
  d[(g + 8) * 8 + 2 * t + 1] = sums[3];
}

TEST(Emulator, MultipliesFragmentsLikeTensorCores) {
  std::vector<__nv_bfloat16> a(256), b(128);
  std::vector<float> d(128);
  for (int i = 0; i < 256; ++i) a[i] = __float2bfloat16(static_cast<float>(i * 7 % 13 - 6));
  for (int i = 0; i < 128; ++i) b[i] = __float2bfloat16(static_cast<float>(i * 5 % 11 - 5));
  ASSERT_EQ(LaunchKernel(FragmentKernel, OneBlock(32), nullptr, a.data(), b.data(), d.data()), kSuccess);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += __bfloat162float(a[i * 16 + k]) * __bfloat162float(b[k * 8 + j]);
      EXPECT_EQ(d[i * 8 + j], sum) << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace millrace::cuda
