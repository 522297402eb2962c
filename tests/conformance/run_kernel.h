// Runs one kernel of one device on host tensors, with traps around every operand.
#ifndef TESTS_CONFORMANCE_RUN_KERNEL_H_
#define TESTS_CONFORMANCE_RUN_KERNEL_H_

#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "tests/conformance/host_tensor.h"
#include "tests/conformance/kernel_case.h"

namespace millrace {

using HostTensors = std::vector<HostTensor>;  // absent operands have an absent spec

// The inputs of a case in f32, f64 or bf16, and what its outputs hold before the call: random numbers where they are
// read too, else 0xff bytes, which are NaN.
HostTensors InputsOf(const KernelCase& c, DType dtype);
HostTensors FirstOutputsOf(const KernelCase& c, DType dtype);

// Packs (when the kernel wants to), runs, and returns the outputs. Fails when the kernel does, when an input changed,
// or when anything outside the outputs and the scratch was written.
absl::StatusOr<HostTensors> RunKernel(Device& device, const Kernel& kernel, const HostTensors& inputs,
                                      const HostTensors& outputs, const RunKey& key);

// Prepares and runs.
absl::StatusOr<HostTensors> RunOp(Device& device, const OpDesc& desc, const HostTensors& inputs,
                                  const HostTensors& outputs, const RunKey& key = {});
// Outputs that hold 0xff bytes.
HostTensors Trapped(const std::vector<TensorSpec>& specs);

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_RUN_KERNEL_H_
