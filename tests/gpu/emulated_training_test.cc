// Training on the emulated GPU: the kernels of the CUDA backend, run on the host, in whole programs.
#include "tests/gpu/training_test.h"
#include "tests/kernels/cuda/emulated_device.h"

namespace millrace {

INSTANTIATE_TEST_SUITE_P(Emulated, GpuTraining, testing::Values(GpuBackend{"emulated", cuda::OpenEmulated}),
                         GpuBackendName);

}  // namespace millrace
