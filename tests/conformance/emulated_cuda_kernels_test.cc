// The CUDA backend's own kernels, run on the host by an emulator of the GPU's threads: right indices, tails, barriers
// and arithmetic are seen here on every machine. Speed, races, cuBLASLt and cuDNN need a GPU (cuda_kernels_test).
#include "kernels/op_rules.h"
#include "tests/conformance/kernel_test.h"
#include "tests/kernels/cuda/emulated_device.h"

namespace millrace {

const KernelBackend kEmulated = {"emulated", cuda::OpenEmulated};

// Every operator that can be asked for in bf16, the type that GPUs train in.
class BFloat16Everywhere : public KernelConformance {};

TEST_P(BFloat16Everywhere, MatchesReference) {
  if (!CheckOp(InType(kernel_case().desc, proto::BF16)).ok()) GTEST_SKIP() << "no such form";
  CompareWithReference(proto::BF16, /*may_lack=*/true);
}

INSTANTIATE_TEST_SUITE_P(Emulated, BFloat16Everywhere, EveryKernelCase(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, KernelConformance, EveryKernelCase(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, BFloat16Conformance, EveryBFloat16Case(kEmulated), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Emulated, MutatedKernels, testing::Values(kEmulated));

}  // namespace millrace
