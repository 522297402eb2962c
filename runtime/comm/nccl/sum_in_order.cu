// Bound by memory: each operand is read and the sum written once, neighbouring threads at neighbouring elements.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "runtime/comm/nccl/sum_in_order.h"

namespace millrace::nccl {
namespace {

constexpr unsigned kThreads = 256;
constexpr uint64_t kMostBlocks = 8192;  // each thread then takes several elements

struct Operands {
  const void* at[kMostOperands];
};

// Narrow floats are added in f32 and rounded once, to nearest even.
template <typename Element, typename Sum>
struct Exact {
  static __device__ Sum Load(Element x) { return x; }
  static __device__ Element Store(Sum x) { return x; }
};
struct ThroughBFloat16 {
  static __device__ float Load(__nv_bfloat16 x) { return __bfloat162float(x); }
  static __device__ __nv_bfloat16 Store(float x) { return __float2bfloat16_rn(x); }
};
struct ThroughHalf {
  static __device__ float Load(__half x) { return __half2float(x); }
  static __device__ __half Store(float x) { return __float2half_rn(x); }
};

template <typename Element, typename Sum, typename Convert>
__global__ void __launch_bounds__(kThreads)
    SumKernel(Operands operands, int count_of_operands, Element* out, uint64_t count) {
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kThreads;
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += stride) {
    Sum sum = Convert::Load(static_cast<const Element*>(operands.at[0])[i]);
    for (int o = 1; o < count_of_operands; ++o) sum += Convert::Load(static_cast<const Element*>(operands.at[o])[i]);
    out[i] = Convert::Store(sum);
  }
}

template <typename Element, typename Sum, typename Convert = Exact<Element, Sum>>
cudaError_t Launch(const Operands& operands, int count_of_operands, void* out, uint64_t count, cudaStream_t stream) {
  const uint64_t blocks = (count + kThreads - 1) / kThreads;
  const unsigned grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  SumKernel<Element, Sum, Convert>
      <<<grid, kThreads, 0, stream>>>(operands, count_of_operands, static_cast<Element*>(out), count);
  return cudaGetLastError();
}

}  // namespace

int LaunchSumInOrder(Summed type, const void* const* operands, int count_of_operands, void* out, uint64_t count,
                     void* stream) {
  if (count == 0) return cudaSuccess;
  if (count_of_operands < 1 || count_of_operands > kMostOperands) return cudaErrorInvalidValue;
  Operands all{};
  for (int o = 0; o < count_of_operands; ++o) all.at[o] = operands[o];
  cudaStream_t const on = static_cast<cudaStream_t>(stream);
  switch (type) {
    case Summed::kF32:
      return Launch<float, float>(all, count_of_operands, out, count, on);
    case Summed::kF64:
      return Launch<double, double>(all, count_of_operands, out, count, on);
    case Summed::kBF16:
      return Launch<__nv_bfloat16, float, ThroughBFloat16>(all, count_of_operands, out, count, on);
    case Summed::kF16:
      return Launch<__half, float, ThroughHalf>(all, count_of_operands, out, count, on);
    case Summed::kU32:
      return Launch<uint32_t, uint32_t>(all, count_of_operands, out, count, on);
    case Summed::kU64:
      return Launch<uint64_t, uint64_t>(all, count_of_operands, out, count, on);
  }
  return cudaErrorInvalidValue;
}

}  // namespace millrace::nccl
