// The branches of the shape family, each in the file named after it.
#ifndef KERNELS_CPU_SHAPE_H_
#define KERNELS_CPU_SHAPE_H_

#include "kernels/cpu/families.h"

namespace millrace::cpu {

KernelOr NewTranspose(const OpDesc& desc);
KernelOr NewSplit(const OpDesc& desc);
KernelOr NewConcat(const OpDesc& desc);
KernelOr NewExpand(const OpDesc& desc);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_SHAPE_H_
