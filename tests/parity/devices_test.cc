// Devices whose streams work later, as GPUs do: over copies between them and over NCCL's fake, training gives the bits
// that the same kernels give when the host waits for each. What the host must order, it orders; what two ranks send
// each other, both list alike.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/lower/transfer_groups.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/nccl/set_up.h"
#include "tests/kernels/async_device.h"
#include "tests/parity/run_plan.h"
#include "tests/runtime/comm/nccl/fake_nccl.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 53;
constexpr absl::Duration kDelay = absl::Microseconds(30);

struct Layout {
  int pp, dp, shard;
  std::string schedule;
  std::vector<int> stage_replicas = {};
};

absl::StatusOr<proto::ExecutionPlan> PlanOf(const Layout& layout) {
  Gpt2Options o;
  o.layers = 3;
  o.heads = 2;
  o.width = 24;
  o.vocabulary = kVocabulary;
  o.context = 17;
  const auto model = MakeGpt2(o);
  if (!model.ok()) return model.status();
  const std::vector<int>& replicas = layout.stage_replicas;
  const int ranks = replicas.empty() ? layout.pp * layout.dp : std::accumulate(replicas.begin(), replicas.end(), 0);
  PartitionOptions options = OptionsFor("cpu", ranks);
  options.pp = layout.pp;
  options.dp = layout.dp;
  options.stage_replicas = replicas;
  options.shard_optimizer = layout.shard;
  options.micro_batch = 2;
  options.micro_batches = replicas.empty() ? 4 : 6;
  options.schedule = layout.schedule;
  auto plan = PlanFor(*model, options);
  if (plan.ok()) AddTransferGroups(&*plan);  // which a plan for GPUs has
  return plan;
}

RunOptions Steps() {
  RunOptions options;
  options.steps = 2;
  options.load = RandomTokens(kVocabulary);
  return options;
}

// An AsyncDevice with the device whose kernels it runs.
class OwningAsyncDevice : public AsyncDevice {
 public:
  explicit OwningAsyncDevice(std::unique_ptr<Device> inner)
      : AsyncDevice(inner.get(), kDelay), inner_(std::move(inner)) {}

 private:
  const std::unique_ptr<Device> inner_;
};

RunOptions OnDevices() {
  RunOptions options = Steps();
  options.open_device = [](absl::string_view, int,
                           const DeviceOptions& device) -> absl::StatusOr<std::unique_ptr<Device>> {
    auto inner = OpenDevice("cpu", device);
    if (!inner.ok()) return inner.status();
    return std::make_unique<OwningAsyncDevice>(*std::move(inner));
  };
  return options;
}

// What the communicators of NCCL's fake stand on.
struct Fakes {
  explicit Fakes(int ranks) : world(ranks), exchanges(MakeInProcessExchanges(ranks)) {
    for (int r = 0; r < ranks; ++r) apis.push_back(std::make_unique<nccl::FakeNccl>(&world));
  }
  ~Fakes() {
    for (const auto& api : apis) EXPECT_THAT(api->misuses(), IsEmpty());
  }
  nccl::FakeWorld world;
  std::vector<std::unique_ptr<nccl::FakeNccl>> apis;
  std::vector<std::unique_ptr<Exchange>> exchanges;
};

absl::StatusOr<RunResult> RunOverNccl(const proto::ExecutionPlan& plan, bool one_communicator) {
  Fakes fakes(plan.ranks_size());
  RunOptions options = OnDevices();
  options.make_communicators = [&](int ranks, const CommunicatorOptions& waits) {
    auto controls = MakeInProcessCommunicators(ranks, waits);
    NcclOptions nccl;
    nccl.waits = waits;
    nccl.groups = GroupsOf(plan);
    nccl.one_communicator = one_communicator;
    nccl.leave_within = absl::Milliseconds(10);
    std::vector<std::unique_ptr<Communicator>> made;
    for (int r = 0; r < ranks; ++r) {
      auto one =
          nccl::MakeDeviceCommunicator(fakes.apis[r].get(), fakes.exchanges[r].get(), std::move(controls[r]), nccl);
      EXPECT_TRUE(one.ok()) << one.status();
      made.push_back(*std::move(one));
    }
    return made;
  };
  return RunPlan(plan, options);
}

class OnLateDevices : public testing::TestWithParam<Layout> {
 protected:
  void SetUp() override {
    auto plan = PlanOf(GetParam());
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    auto want = RunPlan(plan_, Steps());
    ASSERT_TRUE(want.ok()) << want.status();
    want_ = *std::move(want);
  }
  void ExpectTheSame(const absl::StatusOr<RunResult>& got) {
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->losses, want_.losses);
    EXPECT_EQ(got->norms, want_.norms);
    EXPECT_THAT(Differences(got->weights, want_.weights), IsEmpty());
    ExpectTimesOfStreams(got->trace);
  }
  // A stream does one RUN after the other, whenever the host queued them.
  void ExpectTimesOfStreams(const proto::StepTrace& trace) {
    const proto::Program& train = plan_.programs(0);
    std::map<uint32_t, double> ended;  // by rank: its last RUN
    std::vector<proto::Span> spans(trace.spans().begin(), trace.spans().end());
    std::sort(spans.begin(), spans.end(),
              [](const auto& a, const auto& b) { return a.start_seconds() < b.start_seconds(); });
    for (const proto::Span& span : spans) {
      EXPECT_LE(span.start_seconds() + span.wait_seconds(), span.end_seconds() + 1e-6);
      const auto& list = train.ranks(static_cast<int>(span.rank()) % train.ranks_size()).instructions();
      if (list[static_cast<int>(span.instruction())].kind() != proto::Instruction::RUN) continue;
      const auto [last, is_first] = ended.emplace(span.rank(), 0);
      if (!is_first) EXPECT_GE(span.start_seconds(), last->second - 1e-6);
      last->second = span.end_seconds();
    }
    EXPECT_EQ(ended.size(), plan_.ranks_size());
  }

  proto::ExecutionPlan plan_;
  RunResult want_;
};

TEST_P(OnLateDevices, CopiesBetweenThem) { ExpectTheSame(RunPlan(plan_, OnDevices())); }
TEST_P(OnLateDevices, Nccl) { ExpectTheSame(RunOverNccl(plan_, /*one_communicator=*/false)); }
TEST_P(OnLateDevices, NcclWithOneCommunicator) { ExpectTheSame(RunOverNccl(plan_, /*one_communicator=*/true)); }

INSTANTIATE_TEST_SUITE_P(Layouts, OnLateDevices,
                         testing::Values(Layout{3, 1, 0, "1f1b"}, Layout{2, 1, 0, "zb-h1"}, Layout{1, 2, 1, "1f1b"},
                                         Layout{2, 2, 0, "gpipe"}, Layout{1, 2, 2, "1f1b"}, Layout{2, 2, 3, "1f1b"},
                                         Layout{2, 1, 0, "interleaved"}, Layout{2, 1, 0, "1f1b", {3, 1}},
                                         Layout{2, 1, 3, "1f1b", {2, 3}}),
                         [](const testing::TestParamInfo<Layout>& test) {
                           return absl::StrCat("pp", test.param.pp, "_dp", test.param.dp, "_number", test.index);
                         });

}  // namespace
}  // namespace millrace
