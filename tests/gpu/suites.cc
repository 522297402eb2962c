// The conformance suites as a GPU machine runs them: tools/gpu_check links them. Without a GPU every case skips by
// name.
#include "kernels/cuda/cuda.h"
#include "tests/conformance/communicator_test.h"
#include "tests/conformance/kernel_test.h"
#include "tests/gpu/gpu_ranks.h"
#include "tests/gpu/training_test.h"

namespace millrace {

INSTANTIATE_TEST_SUITE_P(Cuda, KernelConformance, EveryKernelCase({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, BFloat16Conformance, EveryBFloat16Case({"cuda", OpenCuda}), KernelTestName);
INSTANTIATE_TEST_SUITE_P(Cuda, MutatedKernels, testing::Values(KernelBackend{"cuda", OpenCuda}));

INSTANTIATE_TEST_SUITE_P(Gpu, GpuTraining, testing::Values(GpuBackend{"cuda", OpenCuda}), GpuBackendName);

INSTANTIATE_TEST_SUITE_P(GpusInProcess, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"in_process_on_gpus", MakeGpusInProcess}));
INSTANTIATE_TEST_SUITE_P(NcclThreads, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"nccl_threads", MakeNcclThreads, 0, /*in_order=*/true}));
INSTANTIATE_TEST_SUITE_P(NcclProcesses, CommunicatorConformance,
                         testing::Values(CommunicatorBackend{"nccl_processes", MakeNcclProcess, GpuProcesses(),
                                                             /*in_order=*/true}));

}  // namespace millrace
