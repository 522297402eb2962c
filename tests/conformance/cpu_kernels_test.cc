#include "kernels/cpu/cpu.h"
#include "tests/conformance/kernel_test.h"

namespace millrace {
INSTANTIATE_TEST_SUITE_P(Cpu, KernelConformance, EveryKernelCase({"cpu", OpenCpu}), KernelTestName);
}  // namespace millrace
