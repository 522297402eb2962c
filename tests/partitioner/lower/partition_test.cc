// Every plan that the partitioner makes must pass the verifier, whatever the model, the cut and the schedule.
#include "partitioner/partition.h"

#include <algorithm>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/backends.h"
#include "partitioner/graph/mlp.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

// All can be cut into four stages.
std::vector<NamedModel> Models() {
  std::vector<NamedModel> models = AllTestModels();
  std::erase_if(models, [](const NamedModel& named) { return named.name == "Mlp" || named.name == "MlpSilu"; });
  models.push_back(
      {"DeepMlp", MakeMlp({.layers = 5, .features = 6, .width = 8, .classes = 5, .activation = "silu"}).value()});
  models.push_back({"ThreeReaders", ThreeReaders()});
  models.push_back({"TiedLayers", TiedLayers()});
  models.push_back({"Views", Views()});
  return models;
}

// Partitions and verifies.
absl::StatusOr<proto::ExecutionPlan> Plan(const proto::Model& model, const PartitionOptions& options) {
  MR_ASSIGN_OR_RETURN(proto::ExecutionPlan plan, Partition(model, options, MadeUpNeeds));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

TEST(PartitionTest, EveryModelEveryScheduleVerifies) {
  for (const NamedModel& named : Models()) {
    for (int pp : {1, 2, 3, 4}) {
      for (int64_t micro_batches : {1, 2, 5}) {
        for (const char* schedule : {"gpipe", "1f1b"}) {
          for (const char* cut : {"balanced", "even"}) {
            PartitionOptions options = OptionsFor(pp, micro_batches, schedule);
            options.cut = cut;
            const auto plan = Plan(named.model, options);
            EXPECT_TRUE(plan.ok()) << named.name << " pp " << pp << " m " << micro_batches << " " << schedule << " "
                                   << cut << ": " << plan.status();
          }
        }
      }
    }
  }
}

TEST(PartitionTest, EveryUnitItsOwnStageVerifies) {
  for (const NamedModel& named : Models()) {
    PartitionOptions options = OptionsFor(1000, 3);
    const auto too_many = Partition(named.model, options, MadeUpNeeds);
    ASSERT_FALSE(too_many.ok());
    // The message says how many stages there can be.
    const std::string message(too_many.status().message());
    const size_t at = message.find("1 to ");
    ASSERT_NE(at, std::string::npos) << message;
    const int units = std::stoi(message.substr(at + 5));
    EXPECT_NE(message.find("pp = 1000"), std::string::npos) << message;
    const auto plan = Plan(named.model, OptionsFor(units, 3));
    EXPECT_TRUE(plan.ok()) << named.name << ": " << plan.status();
  }
}

TEST(PartitionTest, SplitBackwardAndSeveralStagesPerRankVerify) {
  const std::vector<std::vector<int>> placements = {{0},          {0, 1},       {0, 0},   {0, 1, 0},
                                                    {0, 1, 0, 1}, {0, 1, 1, 0}, {1, 2, 0}};
  for (const NamedModel& named : Models()) {
    for (const std::vector<int>& placement : placements) {
      const int ranks = *std::max_element(placement.begin(), placement.end()) + 1;
      PartitionOptions options = OptionsFor(ranks, 3);
      options.custom_schedule = SplitBackward(placement, ranks, 3);
      const auto plan = Plan(named.model, options);
      EXPECT_TRUE(plan.ok()) << named.name << ": " << plan.status() << "\n" << options.custom_schedule->ToCsv();
      if (plan.ok()) {
        EXPECT_EQ(plan->programs(0).schedule(), "custom");
      }
    }
  }
}

TEST(PartitionTest, JointAndSplitBackwardInOneStageVerify) {
  for (const NamedModel& named : Models()) {
    PartitionOptions options = OptionsFor(2, 3);
    options.custom_schedule =
        Schedule::ParseCsv("0F0,0F1,0BW0,0B1,0F2,0W1,0BW2\n1F0,1B0,1F1,1W0,1BW1,1F2,1B2,1W2\n").value();
    const auto plan = Plan(named.model, options);
    EXPECT_TRUE(plan.ok()) << named.name << ": " << plan.status();
  }
}

TEST(PartitionTest, CpuKernelsNeedsVerify) {
  for (const std::string& kind : Backends()) {
    const auto device = OpenDevice(kind, DeviceOptions());
    if (absl::IsUnavailable(device.status())) continue;  // linked, but this machine has none: a GPU
    ASSERT_TRUE(device.ok()) << device.status();
    const KernelNeedsFn needs = [&](const OpDesc& desc) -> absl::StatusOr<KernelNeeds> {
      MR_ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, (*device)->NewKernel(desc));
      return kernel->needs();
    };
    for (const proto::Model& model : {TinyGpt2(), TinyLlama(1, true)}) {
      PartitionOptions options = OptionsFor(2, 3);
      for (auto& d : *options.cluster.mutable_devices()) d.set_kind(kind);
      const auto plan = Partition(model, options, needs);
      ASSERT_TRUE(plan.ok()) << kind << ": " << plan.status();
      EXPECT_EQ(VerifyPlan(*plan), absl::OkStatus()) << kind;
      EXPECT_EQ(plan->device_kind(), kind);
    }
  }
}

TEST(PartitionTest, SameInputSameBytes) {
  for (const NamedModel& named : Models()) {
    const PartitionOptions options = OptionsFor(3, 4);
    const auto a = Plan(named.model, options), b = Plan(named.model, options);
    ASSERT_TRUE(a.ok() && b.ok()) << named.name << ": " << a.status();
    EXPECT_EQ(CanonicalBytes(*a), CanonicalBytes(*b)) << named.name;
    EXPECT_EQ(a->hash(), PlanHash(*a));
    EXPECT_EQ(VerifyPlanIsFor(*a, named.model), absl::OkStatus());
  }
}

TEST(PartitionTest, OptimizerStates) {
  for (const auto& [optimizer, states] : {std::pair("adamw", 2), std::pair("sgd", 1)}) {
    PartitionOptions options = OptionsFor(2, 2);
    options.optimizer = optimizer;
    const auto plan = Plan(TinyGpt2(), options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    for (const proto::Bucket& bucket : plan->buckets()) {
      for (const auto& state : bucket.states()) EXPECT_EQ(state.offsets_size(), states);
    }
  }
}

TEST(PartitionTest, ProgramsAsAsked) {
  PartitionOptions options = OptionsFor(2, 3);
  options.logits_batch = 3;
  auto plan = Plan(TinyGpt2(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->programs_size(), 3);
  EXPECT_EQ(plan->programs(1).name(), "eval");
  EXPECT_EQ(plan->programs(1).micro_batches(), 3);
  EXPECT_EQ(plan->programs(2).name(), "logits");
  EXPECT_EQ(plan->programs(2).micro_batches(), 1);
  EXPECT_EQ(plan->programs(2).micro_batch_size(), 3);
  ASSERT_EQ(plan->programs(2).outputs_size(), 1);
  const proto::ProgramOutput& output = plan->programs(2).outputs(0);
  const proto::Value& logits = plan->programs(2).stages(output.stage()).values(output.value());
  EXPECT_EQ(logits.type().dims(0), 3);
  EXPECT_EQ(logits.type().dims(logits.type().dims_size() - 1), kTestVocabulary);
  options.with_eval = options.with_logits = false;
  plan = Plan(TinyGpt2(), options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->programs_size(), 1);
}

TEST(PartitionTest, DumpsEveryPassInOrder) {
  PartitionOptions options = OptionsFor(2, 2);
  std::set<std::string> seen;
  options.dump = [&](absl::string_view pass, const std::string& text) {
    EXPECT_FALSE(text.empty()) << pass;
    seen.insert(std::string(pass));
  };
  ASSERT_TRUE(Plan(TinyGpt2(), options).ok());
  const std::vector<std::string> names = PassNames();
  EXPECT_EQ(seen, std::set<std::string>(names.begin(), names.end()));
}

void ExpectRefused(const proto::Model& model, const PartitionOptions& options, absl::StatusCode code,
                   const std::string& part) {
  const auto plan = Partition(model, options, MadeUpNeeds);
  ASSERT_FALSE(plan.ok()) << part;
  EXPECT_EQ(plan.status().code(), code) << plan.status();
  EXPECT_NE(plan.status().message().find(part), absl::string_view::npos) << plan.status();
}

TEST(PartitionTest, RefusesWrongOptions) {
  const proto::Model model = TinyGpt2();
  const auto refused = [&](const PartitionOptions& options, const std::string& part) {
    ExpectRefused(model, options, absl::StatusCode::kInvalidArgument, part);
  };
  PartitionOptions options = OptionsFor(2, 2);
  options.schedule = "2f2b";
  refused(options, "must be gpipe, 1f1b");
  options = OptionsFor(2, 2);
  options.cut = "random";
  refused(options, "balanced, exact, even or by-hand");
  options = OptionsFor(2, 2);
  options.optimizer = "lion";
  refused(options, "adamw or sgd");
  options = OptionsFor(2, 0);
  refused(options, "micro-batches");
  options = OptionsFor(2, 2);
  options.pp = 3;
  refused(options, "the cluster has 2");
  options = OptionsFor(2, 2);
  options.cluster.mutable_devices(1)->set_kind("cpu");
  refused(options, "one kind");
  options = OptionsFor(2, 2);
  options.cut_after = {"x"};
  refused(options, "by-hand");
  options = OptionsFor(2, 2);
  options.custom_schedule = SplitBackward({0, 1}, 2, 3);
  refused(options, "3 micro-batches");
  options = OptionsFor(2, 1);
  options.custom_schedule = Schedule::ParseCsv("0BW0,0F0\n1F0,1BW0\n").value();
  refused(options, "0BW0");
}

TEST(PartitionTest, RefusesScheduleThatDeadlocks) {
  // Each rank first wants what the other makes only afterwards.
  PartitionOptions options = OptionsFor(2, 2);
  options.custom_schedule = Schedule::ParseCsv("0F0,0BW0,0F1,0BW1\n1F0,1F1,1BW0,1BW1\n").value();
  ExpectRefused(ThreeReaders(), options, absl::StatusCode::kInvalidArgument, "deadlock: rank 0 waits at 0BW0 for ");
}

TEST(PartitionTest, SaysHowManyBytesTooMany) {
  PartitionOptions options = OptionsFor(2, 2);
  options.cut = "even";  // the default looks for a cut that fits
  auto plan = Plan(TinyGpt2(), options);
  ASSERT_TRUE(plan.ok());
  const uint64_t arena = plan->ranks(1).arena_bytes();
  options.cluster.mutable_devices(1)->set_memory_bytes(arena);
  EXPECT_TRUE(Plan(TinyGpt2(), options).ok());
  options.cluster.mutable_devices(1)->set_memory_bytes(arena - 1000);
  ExpectRefused(TinyGpt2(), options, absl::StatusCode::kResourceExhausted, "rank 1 needs ");
  ExpectRefused(TinyGpt2(), options, absl::StatusCode::kResourceExhausted, ", 1000 more than its ");
}

TEST(PartitionTest, RefusesSizesThatOverflow) {
  PartitionOptions options = OptionsFor(1, 1 << 16);
  options.micro_batch = 1 << 24;
  const auto model = MakeMlp({.layers = 40, .features = 60000, .width = 60000, .classes = 5}).value();
  ExpectRefused(model, options, absl::StatusCode::kResourceExhausted, "no memory can hold");
}

TEST(PartitionTest, RefusesGraphsThatCannotTrain) {
  proto::Model model = TinyGpt2();
  model.clear_loss();
  EXPECT_FALSE(Partition(model, OptionsFor(1, 1), MadeUpNeeds).ok());
  // Logits must be made by a node.
  model = TinyGpt2();
  model.set_logits(model.parameters(0).name());
  EXPECT_FALSE(Partition(model, OptionsFor(1, 1), MadeUpNeeds).ok());
}

TEST(PartitionTest, NamesTheNodeThatHasNoKernel) {
  const KernelNeedsFn needs = [](const OpDesc& desc) -> absl::StatusOr<KernelNeeds> {
    if (desc.op == "Attention") return absl::UnimplementedError("no such kernel");
    return KernelNeeds();
  };
  const auto plan = Partition(TinyGpt2(), OptionsFor(1, 1), needs);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(plan.status().message().find("h.0.attn"), absl::string_view::npos) << plan.status();
}

}  // namespace
}  // namespace millrace
