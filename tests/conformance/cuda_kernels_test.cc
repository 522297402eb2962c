// On a GPU when there is one; without, every case says so and is skipped.
#include "kernels/cuda/cuda.h"
#include "tests/conformance/kernel_test.h"

namespace millrace {
INSTANTIATE_TEST_SUITE_P(Cuda, KernelConformance, EveryKernelCase({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, BFloat16Conformance, EveryBFloat16Case({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, MutatedKernels, testing::Values(KernelBackend{"cuda", OpenCuda}));
}  // namespace millrace
