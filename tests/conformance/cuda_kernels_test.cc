// On a GPU when there is one; without, every case says so and is skipped.
#include "kernels/cuda/cuda.h"
#include "tests/conformance/kernel_test.h"

namespace millrace {
INSTANTIATE_TEST_SUITE_P(Cuda, KernelConformance, EveryKernelCase({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, BFloat16Conformance, EveryBFloat16Case({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, BFloat16Everywhere, EveryKernelCase({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, MutatedKernels, testing::Values(KernelBackend{"cuda", OpenCuda}));

// Attention once more, with cuDNN.
absl::StatusOr<std::unique_ptr<Device>> OpenWithCudnn(DeviceOptions options) {
  options.cudnn = true;
  return OpenCuda(options);
}
std::vector<KernelCase> AttentionCases() {
  std::vector<KernelCase> cases;
  for (const KernelCase& c : AllKernelCases()) {
    if (c.desc.op == "Attention" || c.desc.op == "AttentionGrad") cases.push_back(c);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Cudnn, BFloat16Everywhere,
                         testing::Combine(testing::Values(KernelBackend{"cudnn", OpenWithCudnn}),
                                          testing::ValuesIn(AttentionCases())),
                         KernelTestName);
}  // namespace millrace
