#include "tests/gpu/training_test.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/partition.h"
#include "runtime/comm/faulty.h"
#include "runtime/plan/verify.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 37;

absl::StatusOr<proto::Model> ModelOf(const std::string& family, DType dtype, double dropout = 0) {
  if (family == "llama") {
    LlamaOptions o;
    o.layers = 3;
    o.heads = 4;
    o.kv_heads = 2;
    o.width = 32;
    o.hidden = 48;
    o.vocabulary = kVocabulary;
    o.context = 12;
    o.dtype = dtype;
    o.dropout = dropout;
    return MakeLlama(o);
  }
  Gpt2Options o;
  o.layers = 3;
  o.heads = 2;
  o.width = 32;
  o.vocabulary = kVocabulary;
  o.context = 12;
  o.dtype = dtype;
  o.dropout = dropout;
  return MakeGpt2(o);
}

struct Layout {
  int pp = 1, dp = 1, shard = 0;
  std::string schedule = "1f1b";

  std::string ToString() const { return absl::StrCat("pp ", pp, " dp ", dp, " level ", shard, " ", schedule); }
};

// A plan for the kind of device that `needs` asks.
absl::StatusOr<proto::ExecutionPlan> PlanOf(const proto::Model& model, const Layout& layout, const std::string& kind,
                                            const KernelNeedsFn& needs) {
  PartitionOptions options = OptionsFor(kind, layout.pp * layout.dp);
  options.pp = layout.pp;
  options.dp = layout.dp;
  options.shard_optimizer = layout.shard;
  options.schedule = layout.schedule;
  options.micro_batch = 2;
  options.micro_batches = 4;
  auto plan = Partition(model, options, needs);
  if (!plan.ok()) return plan;
  const absl::Status verified = VerifyPlan(*plan);
  return verified.ok() ? plan : verified;
}

RunOptions Steps(int steps) {
  RunOptions run;
  run.steps = steps;
  run.load = RandomTokens(kVocabulary);
  return run;
}

absl::StatusOr<RunResult> OnReference(const proto::Model& model, const RunOptions& run) {
  RunOptions reference = run;
  reference.device = "reference";
  PartitionOptions options = OptionsFor("reference", 1);
  options.micro_batch = 2;
  options.micro_batches = 4;
  const auto plan = PlanFor(model, options);
  return plan.ok() ? RunPlan(*plan, reference) : plan.status();
}

absl::StatusOr<RunResult> OnGpu(const GpuBackend& backend, const proto::Model& model, const Layout& layout,
                                RunOptions run) {
  auto device = backend.open({});
  if (!device.ok()) return device.status();
  const KernelNeedsFn needs = [&device](const OpDesc& desc) -> absl::StatusOr<KernelNeeds> {
    const auto kernel = (*device)->NewKernel(desc);
    if (!kernel.ok()) return kernel.status();
    return (*kernel)->needs();
  };
  const auto plan = PlanOf(model, layout, "cuda", needs);
  if (!plan.ok()) return plan.status();
  run.open_device = [&backend](absl::string_view, int, const DeviceOptions&) { return backend.open({}); };
  return RunPlan(*plan, run);
}

// The largest difference of a tensor's elements over its largest element; the worst tensor's.
double Apart(const std::map<std::string, std::vector<float>>& got,
             const std::map<std::string, std::vector<float>>& want) {
  double worst = 0;
  for (const auto& [name, values] : want) {
    double apart = 0, largest = 1e-12;
    for (size_t i = 0; i < values.size(); ++i) {
      apart = std::max(apart, std::abs(double{got.at(name)[i]} - values[i]));
      largest = std::max(largest, std::abs(double{values[i]}));
      if (std::isnan(got.at(name)[i])) return INFINITY;
    }
    worst = std::max(worst, apart / largest);
  }
  return worst;
}

// Losses over some steps; gradients of the first, before the optimizer has made signs of what is nearly nothing.
void ExpectNear(const GpuBackend& backend, const std::string& family, DType dtype, double losses, double gradients) {
  const auto model = ModelOf(family, dtype);
  ASSERT_TRUE(model.ok()) << model.status();
  for (int steps : {1, 3}) {
    const auto want = OnReference(*model, Steps(steps)), got = OnGpu(backend, *model, {}, Steps(steps));
    ASSERT_TRUE(want.ok()) << want.status();
    ASSERT_TRUE(got.ok()) << got.status();
    for (int step = 0; step < steps; ++step) {
      EXPECT_NEAR(got->losses[step], want->losses[step], losses * want->losses[step]) << family << ", step " << step;
    }
    if (steps > 1) continue;
    EXPECT_NEAR(got->norms[0], want->norms[0], gradients * want->norms[0]) << family;
    EXPECT_LT(Apart(got->gradients, want->gradients), gradients) << family;
  }
}

void ExpectSameBits(const GpuBackend& backend, const std::string& family, DType dtype, const Layout& first,
                    const std::vector<Layout>& others) {
  const auto model = ModelOf(family, dtype, /*dropout=*/0.1);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto one = OnGpu(backend, *model, first, Steps(2));
  ASSERT_TRUE(one.ok()) << first.ToString() << ": " << one.status();
  for (const Layout& layout : others) {
    const auto other = OnGpu(backend, *model, layout, Steps(2));
    ASSERT_TRUE(other.ok()) << layout.ToString() << ": " << other.status();
    EXPECT_EQ(other->losses, one->losses) << layout.ToString();
    EXPECT_EQ(other->norms, one->norms) << layout.ToString();
    EXPECT_THAT(Differences(other->weights, one->weights), IsEmpty()) << layout.ToString();
    EXPECT_THAT(Differences(other->masters, one->masters), IsEmpty()) << layout.ToString();
  }
}

}  // namespace

TEST_P(GpuTraining, Float32IsTheReferences) {
  for (const char* family : {"gpt2", "llama"}) ExpectNear(GetParam(), family, proto::F32, 1e-5, 1e-3);
}

// Within what rounding activations to 8 and 11 bits of mantissa leaves.
TEST_P(GpuTraining, BFloat16IsTheReferences) {
  for (const char* family : {"gpt2", "llama"}) ExpectNear(GetParam(), family, proto::BF16, 5e-3, 0.1);
}
TEST_P(GpuTraining, Float16IsTheReferences) {
  for (const char* family : {"gpt2", "llama"}) ExpectNear(GetParam(), family, proto::F16, 1e-3, 0.02);
}

TEST_P(GpuTraining, CutsAndSchedulesOnOneGpuLeaveTheSameBits) {
  const std::vector<Layout> layouts = {{.pp = 2, .schedule = "gpipe"}, {.pp = 3},
                                       {.pp = 2, .schedule = "zb-h1"}, {.pp = 2, .schedule = "interleaved"},
                                       {.pp = 2, .schedule = "zb-v"}};
  ExpectSameBits(GetParam(), "gpt2", proto::F32, {}, layouts);
  ExpectSameBits(GetParam(), "llama", proto::BF16, {}, {{.pp = 2}, {.pp = 3, .schedule = "zb-h1"}});
}

TEST_P(GpuTraining, ReplicasOnOneGpuLeaveTheSameBits) {
  ExpectSameBits(GetParam(), "gpt2", proto::BF16, {.dp = 2},
                 {{.dp = 2, .shard = 1}, {.pp = 2, .dp = 2}, {.pp = 2, .dp = 2, .shard = 1}});
  ExpectSameBits(GetParam(), "gpt2", proto::BF16, {.dp = 2, .shard = 2},
                 {{.dp = 2, .shard = 3}, {.pp = 2, .dp = 2, .shard = 3}});
}

// What one rank's error is, every rank says within a second, and nothing hangs.
TEST_P(GpuTraining, AnErrorEndsAllRanksWithinASecond) {
  const auto model = ModelOf("gpt2", proto::F32);
  ASSERT_TRUE(model.ok()) << model.status();
  RunOptions run = Steps(3);
  std::atomic<int64_t> failed{0};  // when
  run.load = [&failed, good = run.load](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                        uint64_t bytes) {
    if (step < 1 || micro_batch < 2) return good(input, step, micro_batch, memory, bytes);
    int64_t none = 0;
    failed.compare_exchange_strong(none, absl::ToUnixNanos(absl::Now()));
    return absl::DataLossError("the data ends here");
  };
  const auto result = OnGpu(GetParam(), *model, {.pp = 3}, run);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_LT(absl::Now() - absl::FromUnixNanos(failed), absl::Seconds(1));
}

TEST_P(GpuTraining, ALostMessageEndsInATimeLimit) {
  const auto model = ModelOf("gpt2", proto::F32);
  ASSERT_TRUE(model.ok()) << model.status();
  RunOptions run = Steps(3);
  run.communication.terminate_after = absl::Seconds(2);
  run.make_communicators = [](int ranks, const CommunicatorOptions& waits) {
    std::vector<std::unique_ptr<Communicator>> made = MakeInProcessCommunicators(ranks, waits);
    Fault lost;
    lost.kind = Fault::Kind::kDrop;
    lost.send = true;
    lost.nth = 3;
    made[0] = MakeFaultyCommunicator(std::move(made[0]), {lost});
    return made;
  };
  const absl::Time start = absl::Now();
  const auto result = OnGpu(GetParam(), *model, {.pp = 2}, run);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("waits for"));
  EXPECT_GE(absl::Now() - start, absl::Seconds(2));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GpuTraining);

}  // namespace millrace
