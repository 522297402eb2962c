// Input 0 to output 0, byte for byte: Identity, Reshape.
#ifndef KERNELS_CPU_COPY_KERNEL_H_
#define KERNELS_CPU_COPY_KERNEL_H_

#include "kernels/device.h"

namespace millrace::cpu {

class CopyKernel : public Kernel {
 public:
  explicit CopyKernel(int64_t bytes) : Kernel({}), bytes_(bytes) {}
  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    if (args.inputs[0] == args.outputs[0]) return absl::OkStatus();
    return stream.Copy(args.outputs[0], args.inputs[0], bytes_);
  }

 private:
  const int64_t bytes_;
};

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_COPY_KERNEL_H_
