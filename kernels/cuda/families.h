// The kernel families of the CUDA backend: each makes the prepared kernels of a few related operators. cuda.cc holds
// the table from operator name to family. Every desc has passed kernels/op_rules.h before it comes here.
//
// How an operator is written, with Gelu and its kin as the example:
//
//   scalar_math.h  The arithmetic of one element, as inline functions that nvcc and g++ both compile. A test on any
//                  machine compares them with the reference backend: no GPU is needed to see that a formula is right.
//   unary.h        What host and device code agree on: plain arguments, and one `Code LaunchX(...)` per kernel. No
//                  Abseil, no protobuf, no CUDA header: nvcc reads every header once per architecture.
//   unary.cu       The kernels, and LaunchX: choose the template, launch on the given stream, return
//                  cudaGetLastError(). At the top: what bounds the kernel, in bytes per element against the memory's
//                  rate, or in operations.
//   unary.cc       The family: element types checked, geometry (launch.h) and scratch fixed at preparation; a
//                  CudaKernel whose Launch passes addresses on. Nothing is decided per call but what addresses decide.
//
// The .cu goes into a FAMILY_kernels target, its header into :launchers, the .cc into FAMILY (BUILD.bazel), the
// operator into op_table.cc. Launch by LaunchKernel, never by <<<>>>, and take dynamic shared memory by
// MR_DYNAMIC_SHARED: then g++ compiles the file too, for the emulator of tests/kernels/cuda (add it to
// emulated_kernels), and the conformance suite runs the kernel on any machine:
// //tests/conformance:emulated_cuda_kernels_test.
//
// Rules. Never the default stream. No waiting, no allocation, nothing that cannot be captured into a graph. No
// floating-point atomics, no result that depends on the number of multiprocessors: sums go in a fixed tree
// (block_reduce.cuh). Tails go through the code of the body (vector.cuh). Sizes and indices are int64_t unless a bound
// is checked at preparation. An empty tensor launches nothing (Launch::empty). float64 is for scalars and statistics.
#ifndef KERNELS_CUDA_FAMILIES_H_
#define KERNELS_CUDA_FAMILIES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cuda/machine.h"
#include "kernels/device.h"

namespace millrace::cuda {

using KernelOr = absl::StatusOr<std::unique_ptr<Kernel>>;

struct OpFamily {
  absl::string_view op;
  KernelOr (*make)(const Machine& machine, const OpDesc& desc);
};

KernelOr NewMatMul(const Machine& machine, const OpDesc& desc);  // MatMul, Gemm, FusedMatMul
KernelOr NewMatMulWeightGrad(const Machine& machine, const OpDesc& desc);
KernelOr NewLinearCrossEntropy(const Machine& machine, const OpDesc& desc);
KernelOr NewAttention(const Machine& machine, const OpDesc& desc);  // Attention, AttentionGrad

KernelOr NewCopy(const Machine& machine, const OpDesc& desc);    // Identity, Reshape
KernelOr NewUnary(const Machine& machine, const OpDesc& desc);   // Neg, Relu, ... and their gradients
KernelOr NewBinary(const Machine& machine, const OpDesc& desc);  // Add, Sub, Mul, Div
KernelOr NewDropout(const Machine& machine, const OpDesc& desc);
KernelOr NewCast(const Machine& machine, const OpDesc& desc);
KernelOr NewAccumulate(const Machine& machine, const OpDesc& desc);
KernelOr NewExpand(const Machine& machine, const OpDesc& desc);
KernelOr NewReduce(const Machine& machine, const OpDesc& desc);  // ReduceSum, ReduceMean, ReduceSumTo

KernelOr NewSplit(const Machine& machine, const OpDesc& desc);
KernelOr NewConcat(const Machine& machine, const OpDesc& desc);
KernelOr NewFork(const Machine& machine, const OpDesc& desc);
KernelOr NewTranspose(const Machine& machine, const OpDesc& desc);
KernelOr NewGather(const Machine& machine, const OpDesc& desc);
KernelOr NewGatherGrad(const Machine& machine, const OpDesc& desc);
KernelOr NewRotary(const Machine& machine, const OpDesc& desc);

KernelOr NewNormalization(const Machine& machine, const OpDesc& desc);      // Layer, RMS
KernelOr NewNormalizationGrad(const Machine& machine, const OpDesc& desc);  // Layer, RMS
KernelOr NewSoftmax(const Machine& machine, const OpDesc& desc);            // and its gradient
KernelOr NewCrossEntropy(const Machine& machine, const OpDesc& desc);       // of softmax, and its gradient

KernelOr NewOptimizer(const Machine& machine, const OpDesc& desc);  // AdamW, SgdMomentum
KernelOr NewSquaredSums(const Machine& machine, const OpDesc& desc);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_FAMILIES_H_
