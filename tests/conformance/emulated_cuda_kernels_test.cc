// The CUDA backend's own kernels, run on the host by an emulator of the GPU's threads: right indices, tails, barriers
// and arithmetic are seen here on every machine. Speed, races, cuBLASLt and cuDNN need a GPU (cuda_kernels_test).
#include "tests/conformance/kernel_test.h"
#include "tests/kernels/cuda/emulated_device.h"

namespace millrace {

const KernelBackend kEmulated = {"emulated", cuda::OpenEmulated};

INSTANTIATE_TEST_SUITE_P(Emulated, BFloat16Everywhere, EveryKernelCase(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, KernelConformance, EveryKernelCase(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, BFloat16Conformance, EveryBFloat16Case(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, MutatedKernels, testing::Values(kEmulated));

}  // namespace millrace
