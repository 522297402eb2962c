// The branches of the elementwise family, each in the file named after it. The desc has passed CheckOp.
#ifndef KERNELS_CPU_ELEMENTWISE_H_
#define KERNELS_CPU_ELEMENTWISE_H_

#include "kernels/cpu/families.h"

namespace millrace::cpu {

KernelOr NewUnary(const OpDesc& desc);   // Neg, Relu, Tanh, ..., and their gradients; NOT_FOUND for another operator
KernelOr NewBinary(const OpDesc& desc);  // Add, Sub, Mul, Div
KernelOr NewCast(const OpDesc& desc);
KernelOr NewAccumulate(const OpDesc& desc);
KernelOr NewDropout(const OpDesc& desc);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_ELEMENTWISE_H_
