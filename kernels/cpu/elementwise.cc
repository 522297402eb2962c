#include "kernels/cpu/elementwise.h"

#include "kernels/cpu/copy_kernel.h"

namespace millrace::cpu {

KernelOr NewElementwise(const OpDesc& desc) {
  if (desc.op == "Identity") return std::make_unique<CopyKernel>(desc.input(0).bytes());
  if (desc.op == "Cast") return NewCast(desc);
  if (desc.op == "Accumulate") return NewAccumulate(desc);
  if (desc.op == "Dropout") return NewDropout(desc);
  if (desc.op == "Add" || desc.op == "Sub" || desc.op == "Mul" || desc.op == "Div") return NewBinary(desc);
  return NewUnary(desc);
}

}  // namespace millrace::cpu
