#include "kernels/reference/reference.h"
#include "tests/conformance/kernel_test.h"

namespace millrace {
INSTANTIATE_TEST_SUITE_P(Reference, KernelConformance, EveryKernelCase({"reference", OpenReference}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Reference, BFloat16Conformance, EveryBFloat16Case({"reference", OpenReference}),
                         KernelTestName);
INSTANTIATE_TEST_SUITE_P(Reference, MutatedKernels, testing::Values(KernelBackend{"reference", OpenReference}));
}  // namespace millrace
