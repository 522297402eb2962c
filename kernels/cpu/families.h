// The kernel families of the CPU backend: each makes the prepared kernels of a few related operators. cpu.cc holds the
// table from operator name to family. Every factory checks what it is asked for (kernels/op_rules.h) before this point.
#ifndef KERNELS_CPU_FAMILIES_H_
#define KERNELS_CPU_FAMILIES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace::cpu {

using KernelOr = absl::StatusOr<std::unique_ptr<Kernel>>;

// oneDNN
KernelOr NewMatMul(const OpDesc& desc);             // MatMul, Gemm, FusedMatMul
KernelOr NewMatMulWeightGrad(const OpDesc& desc);
KernelOr NewLinearCrossEntropy(const OpDesc& desc);

// Highway
KernelOr NewElementwise(const OpDesc& desc);        // unary, unary gradients, binary, Cast, Accumulate, Dropout
KernelOr NewNormalization(const OpDesc& desc);      // LayerNormalization, RMSNormalization and gradients
KernelOr NewSoftmax(const OpDesc& desc);            // Softmax, SoftmaxGrad, SoftmaxCrossEntropyLoss and gradient
KernelOr NewAttention(const OpDesc& desc);          // Attention, AttentionGrad
KernelOr NewRotaryEmbedding(const OpDesc& desc);
KernelOr NewGather(const OpDesc& desc);             // Gather, GatherGrad
KernelOr NewShape(const OpDesc& desc);              // Reshape, Fork, Transpose, Split, Concat, Expand
KernelOr NewReduce(const OpDesc& desc);             // ReduceSum, ReduceMean, ReduceSumTo
KernelOr NewOptimizer(const OpDesc& desc);          // AdamW, SgdMomentum, SquaredSums

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_FAMILIES_H_
