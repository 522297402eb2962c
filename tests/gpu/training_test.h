// Training on a GPU: against the reference backend, and against itself over cuts, schedules, replicas and failures. The
// same cases run on a GPU (tools/gpu_check) and on the emulated one.
//
//   INSTANTIATE_TEST_SUITE_P(Cuda, GpuTraining, testing::Values(GpuBackend{"cuda", OpenCuda}), GpuBackendName);
#ifndef TESTS_GPU_TRAINING_TEST_H_
#define TESTS_GPU_TRAINING_TEST_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernels/device.h"

namespace millrace {

struct GpuBackend {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Device>>(const DeviceOptions&)> open;  // all ranks share device 0
};

class GpuTraining : public testing::TestWithParam<GpuBackend> {
 protected:
  void SetUp() override {
    const auto device = GetParam().open({});
    if (!device.ok()) GTEST_SKIP() << device.status().message();
  }
};

inline std::string GpuBackendName(const testing::TestParamInfo<GpuBackend>& info) { return info.param.name; }

}  // namespace millrace

#endif  // TESTS_GPU_TRAINING_TEST_H_
