#include "tests/conformance/kernel_test.h"

#include "kernels/op_rules.h"
#include "kernels/reference/reference.h"
#include "tests/conformance/run_kernel.h"

namespace millrace {
namespace {

constexpr RunKey kKey = {.seed = 11, .step = 5, .micro_batch = 3};

}  // namespace

std::vector<KernelCase> BFloat16Cases() {
  std::vector<KernelCase> cases;
  for (const KernelCase& c : AllKernelCases()) {
    if (HasBFloat16Form(c.desc)) cases.push_back(c);
  }
  return cases;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BFloat16Everywhere);

void PrintTo(const KernelBackend& backend, std::ostream* out) { *out << backend.name; }
void PrintTo(const KernelCase& c, std::ostream* out) { *out << c.desc.Key(); }

void KernelConformance::SetUp() {
  const auto device = std::get<0>(GetParam()).open({});
  if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
}

std::unique_ptr<Device> KernelConformance::Open(int threads) const {
  DeviceOptions options;
  options.threads = threads;
  auto device = std::get<0>(GetParam()).open(options);
  EXPECT_TRUE(device.ok()) << device.status();
  return device.ok() ? *std::move(device) : nullptr;
}

void KernelConformance::CompareWithReference(DType dtype, bool may_lack) const {
  const KernelCase& c = kernel_case();
  const OpDesc desc = InType(c.desc, dtype);
  const HostTensors inputs = InputsOf(c, dtype), first = FirstOutputsOf(c, dtype);
  const auto device = Open();
  ASSERT_NE(device, nullptr);
  const auto got = RunOp(*device, desc, inputs, first, kKey);
  if (may_lack && absl::IsUnimplemented(got.status())) GTEST_SKIP() << got.status();
  ASSERT_TRUE(got.ok()) << desc.Key() << ": " << got.status();
  const auto reference = OpenReference({});
  const auto want = RunOp(**reference, desc, inputs, first, kKey);
  ASSERT_TRUE(want.ok()) << desc.Key() << ": " << want.status();
  for (size_t i = 0; i < want->size(); ++i) {
    const DType own = (*want)[i].spec.dtype;  // of an output that is always in 16 bits, its own
    const Tolerance tolerance = c.exact ? Tolerance() : ToleranceOf(IsHalf(own) ? own : dtype);
    EXPECT_EQ(Difference((*got)[i], (*want)[i], tolerance), "") << "output " << i << " of " << desc.Key();
  }
}

TEST_P(KernelConformance, MatchesReferenceInF32) { CompareWithReference(proto::F32, /*may_lack=*/false); }

TEST_P(BFloat16Conformance, MatchesReference) { CompareWithReference(proto::BF16, /*may_lack=*/true); }

TEST_P(BFloat16Everywhere, MatchesReference) {
  if (!CheckOp(InType(kernel_case().desc, proto::BF16)).ok()) GTEST_SKIP() << "the operator has no such form";
  CompareWithReference(proto::BF16, /*may_lack=*/true);
}

TEST_P(KernelConformance, BitsDependOnNeitherThreadsNorRun) {
  const KernelCase& c = kernel_case();
  const HostTensors inputs = InputsOf(c, proto::F32), first = FirstOutputsOf(c, proto::F32);
  HostTensors one_thread;
  for (int threads : {1, 2, 4}) {
    const auto device = Open(threads);
    ASSERT_NE(device, nullptr);
    const auto kernel = device->NewKernel(c.desc);
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    for (int run = 0; run < 2; ++run) {
      const auto got = RunKernel(*device, **kernel, inputs, first, kKey);
      ASSERT_TRUE(got.ok()) << got.status();
      if (one_thread.empty()) one_thread = *got;
      for (size_t i = 0; i < got->size(); ++i) {
        EXPECT_TRUE((*got)[i].bytes == one_thread[i].bytes)
            << "output " << i << " of " << c.desc.Key() << ", run " << run << " with " << threads
            << " threads: " << Difference((*got)[i], one_thread[i], Tolerance());
      }
    }
  }
}

}  // namespace millrace
