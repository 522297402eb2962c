#include "kernels/cpu/cpu.h"
#include "tests/conformance/kernel_test.h"

namespace millrace {
INSTANTIATE_TEST_SUITE_P(Cpu, KernelConformance, EveryKernelCase({"cpu", OpenCpu}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cpu, BFloat16Conformance, EveryBFloat16Case({"cpu", OpenCpu}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cpu, MutatedKernels, testing::Values(KernelBackend{"cpu", OpenCpu}));
}  // namespace millrace
