// Parity has to notice: one fault at a time is planted into a correct plan, or into a kernel of one rank, and the
// comparison with one stage must name what it spoils.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <set>
#include <string>

#include "partitioner/graph/gpt2.h"
#include "runtime/job/job_config.h"
#include "runtime/job/parity.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/parity/faulty_device.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

constexpr int kMicroBatches = 3;

proto::Model TiedGpt2() {
  Gpt2Options options;
  options.layers = 3;
  options.heads = 2;
  options.width = 24;
  options.vocabulary = 53;
  options.context = 17;
  options.dropout = 0.1;
  return MakeGpt2(options).value();
}

proto::ExecutionPlan Plan(int pp, const std::string& csv = "") {
  PartitionOptions options = OptionsFor("cpu", pp);
  options.micro_batch = 2;
  options.micro_batches = kMicroBatches;
  if (!csv.empty()) options.custom_schedule = Schedule::ParseCsv(csv).value();
  const auto plan = PlanFor(TiedGpt2(), options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::ExecutionPlan());
}

ParityReport AgainstOneStage(const proto::ExecutionPlan& plan, int steps = 2,
                             const OpenDeviceFn& open_device = nullptr) {
  proto::JobConfig config = DefaultJobConfig();
  config.set_threads(1);
  config.mutable_data()->set_format("synthetic");
  ParityOptions options;
  options.steps = steps;
  options.open_device = open_device;
  const auto report = CompareParity(plan, Plan(1), config, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.value_or(ParityReport());
}

// "gradient of step 1, wte.weight" of every difference.
std::set<std::string> Named(const ParityReport& report) {
  std::set<std::string> names;
  for (const ParityDifference& d : report.differences) names.insert(d.what + ", " + d.tensor);
  return names;
}

proto::Program* Train(proto::ExecutionPlan* plan) {
  for (proto::Program& program : *plan->mutable_programs()) {
    if (program.name() == "train") return &program;
  }
  return nullptr;
}

// Changes every call of the operators on one stage of the training program; how many there were.
int ChangeCalls(proto::ExecutionPlan* plan, int stage, const std::set<std::string>& ops,
                const std::function<void(Attributes*)>& change) {
  int changed = 0;
  for (proto::PhaseProgram& phase : *Train(plan)->mutable_stages(stage)->mutable_phases()) {
    for (proto::KernelCall& call : *phase.mutable_calls()) {
      if (ops.count(call.op()) == 0) continue;
      Attributes attributes(call.attributes());
      change(&attributes);
      call.clear_attributes();
      attributes.CopyTo(call.mutable_attributes());
      ++changed;
    }
  }
  SealPlan(plan);
  return changed;
}

class PlantedFault : public testing::TestWithParam<int> {
 protected:
  int pp() const { return GetParam(); }
  int last() const { return pp() - 1; }
};

TEST_P(PlantedFault, NoneIsFoundWhereNoneIs) {
  const ParityReport report = AgainstOneStage(Plan(pp()), 3);
  EXPECT_TRUE(report.equal()) << report.ToString();
  EXPECT_GT(report.tensors, 100u);
  EXPECT_GT(report.elements, 80000u);
}

TEST_P(PlantedFault, DropoutOfAnotherRatio) {
  proto::ExecutionPlan plan = Plan(pp());
  ASSERT_GT(ChangeCalls(&plan, last(), {"Dropout", "DropoutGrad"}, [](Attributes* a) { a->SetFloat("ratio", 0.2); }),
            0);
  ASSERT_TRUE(VerifyPlan(plan).ok()) << VerifyPlan(plan);
  EXPECT_THAT(Named(AgainstOneStage(plan)), IsSupersetOf({"loss of step 1, sum", "gradient of step 1, wte.weight",
                                                          "weight after step 2, wte.weight"}));
}

TEST_P(PlantedFault, AttentionOfAnotherScale) {
  proto::ExecutionPlan plan = Plan(pp());
  const int changed = ChangeCalls(&plan, last(), {"Attention", "AttentionGrad"},
                                  [](Attributes* a) { a->SetFloat("scale", 1.0001 / std::sqrt(12.0)); });
  ASSERT_GT(changed, 0);
  ASSERT_TRUE(VerifyPlan(plan).ok()) << VerifyPlan(plan);
  const ParityReport report = AgainstOneStage(plan);
  EXPECT_THAT(Named(report), IsSupersetOf({"gradient of step 1, wte.weight", "gradient of step 2, wte.weight"}));
  EXPECT_THAT(report.ToString(), HasSubstr("ULPs; first at "));
}

TEST_P(PlantedFault, NormalisationOfAnotherEpsilon) {
  proto::ExecutionPlan plan = Plan(pp());
  const int changed = ChangeCalls(&plan, last(), {"LayerNormalization", "LayerNormalizationGrad"},
                                  [](Attributes* a) { a->SetFloat("epsilon", 1.01e-5); });
  ASSERT_GT(changed, 0);
  ASSERT_TRUE(VerifyPlan(plan).ok()) << VerifyPlan(plan);
  EXPECT_THAT(Named(AgainstOneStage(plan)), IsSupersetOf({"loss of step 1, sum", "gradient of step 1, wte.weight"}));
}

TEST_P(PlantedFault, RandomNumbersOfTheRank) {
  proto::ExecutionPlan plan = Plan(pp());
  const int changed = ChangeCalls(&plan, last(), {"Dropout", "DropoutGrad"},
                                  [](Attributes* a) { a->SetBits("random_key", a->Bits("random_key", 0) ^ 1); });
  ASSERT_GT(changed, 0);
  ASSERT_TRUE(VerifyPlan(plan).ok()) << VerifyPlan(plan);
  EXPECT_THAT(Named(AgainstOneStage(plan)), IsSupersetOf({"loss of step 1, sum", "gradient of step 1, wte.weight"}));
}

// The sum of the places of a tied weight left out: refused on paper, and seen in the numbers of the tied weight alone.
TEST_P(PlantedFault, TiedGradientDropped) {
  proto::ExecutionPlan plan = Plan(pp());
  int removed = 0;
  for (proto::RankProgram& rank : *Train(&plan)->mutable_ranks()) {
    std::vector<int> moved;
    google::protobuf::RepeatedPtrField<proto::Instruction> kept;
    for (const proto::Instruction& instruction : rank.instructions()) {
      const bool dropped = instruction.kind() == proto::Instruction::REDUCE;
      moved.push_back(dropped ? -1 : kept.size());
      if (!dropped) *kept.Add() = instruction;
    }
    for (proto::Instruction& instruction : kept) {
      const std::vector<uint32_t> after(instruction.after().begin(), instruction.after().end());
      instruction.clear_after();
      for (uint32_t a : after) {
        if (moved[a] >= 0) instruction.add_after(moved[a]);
      }
    }
    removed += rank.instructions_size() - kept.size();
    rank.mutable_instructions()->Swap(&kept);
  }
  ASSERT_EQ(removed, 2);  // the two ranks that share the weight
  SealPlan(&plan);
  EXPECT_THAT(std::string(VerifyPlan(plan).message()), HasSubstr("rule completeness"));
  const ParityReport report = AgainstOneStage(plan, 1);
  EXPECT_THAT(Named(report), IsSupersetOf({"gradient of step 1, wte.weight", "weight after step 1, wte.weight"}));
  for (const ParityDifference& d : report.differences) {
    if (d.what == "gradient of step 1") {
      EXPECT_EQ(d.tensor, "wte.weight");
    }
  }
}

TEST_P(PlantedFault, GradientScaledOnOneRank) {
  const auto doubled = [](const OpDesc& desc, const KernelArgs& args) {
    float* gradient = static_cast<float*>(args.outputs[0]);
    for (int64_t i = 0; i < desc.output(0).elements(); ++i) gradient[i] *= 2;
  };
  const ParityReport report = AgainstOneStage(Plan(pp()), 1, FaultyOn(last(), "MatMulWeightGrad", doubled));
  EXPECT_THAT(Named(report),
              IsSupersetOf({"gradient of step 1, h.2.mlp.c_fc.weight", "gradient of step 1, h.2.mlp.c_proj.weight",
                            "loss of step 1, gradient norm"}));
  EXPECT_EQ(Named(report).count("loss of step 1, sum"), 0u);
  EXPECT_EQ(Named(report).count("gradient of step 1, wte.weight"), 0u);
}

TEST_P(PlantedFault, LossScaledOnItsRank) {
  const auto larger = [](const OpDesc&, const KernelArgs& args) {
    *static_cast<double*>(args.outputs[0]) *= 1 + 1e-15;
  };
  const ParityReport report = AgainstOneStage(Plan(pp()), 1, FaultyOn(last(), "LinearCrossEntropy", larger));
  EXPECT_EQ(Named(report), std::set<std::string>({"loss of step 1, sum"}));
}

// The sharpest fault there is: the last bit of one element, after the last micro-batch.
TEST_P(PlantedFault, LastBitOfOneElement) {
  std::atomic<int> runs{0};
  const auto one_bit = [&](const OpDesc& desc, const KernelArgs& args) {
    if (desc.output(0).dims != std::vector<int64_t>{24, 96} || ++runs % kMicroBatches != 0) return;
    float* gradient = static_cast<float*>(args.outputs[0]);
    gradient[5] = std::bit_cast<float>(std::bit_cast<uint32_t>(gradient[5]) ^ 1);
  };
  const ParityReport report = AgainstOneStage(Plan(pp()), 1, FaultyOn(last(), "MatMulWeightGrad", one_bit));
  ASSERT_GE(runs.load(), kMicroBatches);
  const auto found = std::find_if(report.differences.begin(), report.differences.end(),
                                  [](const ParityDifference& d) { return d.what == "gradient of step 1"; });
  ASSERT_NE(found, report.differences.end()) << report.ToString();
  EXPECT_THAT(found->tensor, HasSubstr("mlp.c_fc.weight"));
  EXPECT_EQ(found->different, 1u);
  EXPECT_EQ(found->first_element, 5u);
  EXPECT_EQ(found->max_ulps, 1u);
  EXPECT_THAT(report.ToString(), HasSubstr("mlp.c_fc.weight: 1 of 2304 elements, up to 1 ULPs; first at 5: "));
}

INSTANTIATE_TEST_SUITE_P(Stages, PlantedFault, testing::Values(2, 3), testing::PrintToStringParamName());

constexpr char kDelayedW[] =
    "0F0,0F1,0F2,0B0,0B1,0B2,0W0,0W1,0W2\n"
    "1F0,1B0,1F1,1B1,1F2,1B2,1W0,1W1,1W2\n";

// W0 and W1 of one stage change places: same sums, other order.
TEST(SwappedW, IsRefusedAndTrainsToOtherBits) {
  proto::ExecutionPlan plan = Plan(2, kDelayedW);
  EXPECT_TRUE(AgainstOneStage(plan).equal());
  auto* list = Train(&plan)->mutable_ranks(1)->mutable_instructions();
  std::vector<int> w;
  for (int i = 0; i < list->size(); ++i) {
    if (list->Get(i).kind() == proto::Instruction::RUN && list->Get(i).phase() == proto::W) w.push_back(i);
  }
  ASSERT_EQ(w.size(), 3u);
  // The sums of the first two are the same in either order: three terms are needed for another rounding.
  list->SwapElements(w[0], w[2]);
  SealPlan(&plan);
  EXPECT_THAT(std::string(VerifyPlan(plan).message()), HasSubstr("rule accumulation-order"));
  const ParityReport report = AgainstOneStage(plan, 1);
  EXPECT_THAT(Named(report), IsSupersetOf({"gradient of step 1, h.2.mlp.c_fc.weight"}));
  EXPECT_EQ(Named(report).count("loss of step 1, sum"), 0u);
  for (const ParityDifference& d : report.differences) EXPECT_NE(d.max_ulps, 0u);
}

TEST(SwappedW, IsRefusedByThePartitioner) {
  PartitionOptions options = OptionsFor("cpu", 1);
  options.micro_batches = 2;
  options.custom_schedule = Schedule::ParseCsv("0F0,0F1,0B0,0B1,0W1,0W0\n").value();
  const auto plan = PlanFor(TiedGpt2(), options);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("0W0 comes after micro-batch 1"));
}

}  // namespace
}  // namespace millrace
