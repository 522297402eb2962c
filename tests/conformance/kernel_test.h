// The suite that the kernels of every backend pass. A backend registers itself in one line:
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, KernelConformance, EveryKernelCase({"cpu", OpenCpu}), KernelTestName);
//   INSTANTIATE_TEST_SUITE_P(Cpu, BFloat16Conformance, EveryBFloat16Case({"cpu", OpenCpu}), KernelTestName);
//   INSTANTIATE_TEST_SUITE_P(Cpu, MutatedKernels, testing::Values(KernelBackend{"cpu", OpenCpu}));
#ifndef TESTS_CONFORMANCE_KERNEL_TEST_H_
#define TESTS_CONFORMANCE_KERNEL_TEST_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernels/device.h"
#include "tests/conformance/kernel_case.h"

namespace millrace {

struct KernelBackend {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Device>>(const DeviceOptions&)> open;
};

void PrintTo(const KernelBackend& backend, std::ostream* out);
void PrintTo(const KernelCase& c, std::ostream* out);

// Skips by name where the backend is not linked (UNAVAILABLE).
class KernelConformance : public testing::TestWithParam<std::tuple<KernelBackend, KernelCase>> {
 protected:
  void SetUp() override;
  const KernelCase& kernel_case() const { return std::get<1>(GetParam()); }
  std::unique_ptr<Device> Open(int threads = 1) const;
  // Runs the case in `dtype` on the backend and on the reference and compares. Skips where `may_lack` and the backend
  // has no such kernel.
  void CompareWithReference(DType dtype, bool may_lack) const;
};

// Operators of which a backend may have a bf16 form; one that it lacks is skipped by name.
class BFloat16Conformance : public KernelConformance {};

// Every operator that may be asked for in bf16, for backends that compute in it throughout.
class BFloat16Everywhere : public KernelConformance {};

// Descs made from the cases by random changes.
class MutatedKernels : public testing::TestWithParam<KernelBackend> {};

inline auto EveryKernelCase(const KernelBackend& backend) {
  return testing::Combine(testing::Values(backend), testing::ValuesIn(AllKernelCases()));
}

std::vector<KernelCase> BFloat16Cases();

inline auto EveryBFloat16Case(const KernelBackend& backend) {
  return testing::Combine(testing::Values(backend), testing::ValuesIn(BFloat16Cases()));
}

inline std::string KernelTestName(const testing::TestParamInfo<KernelConformance::ParamType>& test) {
  return std::get<1>(test.param).name;
}

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_KERNEL_TEST_H_
