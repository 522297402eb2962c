// Sampling from a model that is a table: the scores of the next byte are the row of the last one.
#include "runtime/job/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace millrace {
namespace {

using ::testing::HasSubstr;

constexpr int kLength = 5, kBatch = 2;

proto::TensorType Type(proto::DataType dtype, const std::vector<int64_t>& dims) {
  proto::TensorType type;
  type.set_dtype(dtype);
  for (int64_t dim : dims) type.add_dims(dim);
  return type;
}

int AddValue(proto::StageProgram* stage, const std::string& name, const proto::TensorType& type, proto::Life life,
             int pool, uint64_t bytes) {
  proto::Value* value = stage->add_values();
  value->set_name(name);
  *value->mutable_type() = type;
  value->set_life(life);
  value->set_pool(pool);
  value->set_bytes(bytes);
  return stage->values_size() - 1;
}

void AddPool(proto::RankProgram* rank, proto::Life life, uint64_t offset, uint64_t stride) {
  proto::Pool* pool = rank->add_pools();
  pool->set_life(life);
  pool->set_offset(offset);
  pool->set_stride(stride);
  pool->set_slots(1);
}

void AddInstruction(proto::RankProgram* rank, proto::Instruction::Kind kind, int pools) {
  proto::Instruction* instruction = rank->add_instructions();
  instruction->set_kind(kind);
  instruction->set_phase(kind == proto::Instruction::RUN ? proto::F : proto::PHASE_UNSPECIFIED);
  for (int pool = 0; pool < pools; ++pool) instruction->add_slots()->set_pool(pool);
}

// logits = Gather(table, tokens), with ids of `ids` symbols.
proto::ExecutionPlan TablePlan(const std::vector<float>& table, int64_t ids) {
  const uint64_t table_bytes = table.size() * sizeof(float), scores_bytes = kBatch * kLength * ids * sizeof(float);
  proto::ExecutionPlan plan;
  plan.set_schema_version(1);
  plan.set_device_kind("reference");
  proto::Input* input = plan.add_inputs();
  input->set_name("tokens");
  input->set_role(proto::Input::TOKENS);
  *input->mutable_type() = Type(proto::I64, {-1, kLength});
  proto::PlannedParameter* parameter = plan.add_parameters();
  parameter->set_name("table");
  *parameter->mutable_type() = Type(proto::F32, {ids, ids});
  parameter->mutable_initializer()->set_kind(proto::Initializer::DATA);
  parameter->mutable_initializer()->set_data(table.data(), table_bytes);
  parameter->add_places();
  plan.add_ranks()->set_arena_bytes(table_bytes + 256 + (scores_bytes + 255) / 256 * 256);

  proto::Program* program = plan.add_programs();
  program->set_name("logits");
  program->set_micro_batch_size(kBatch);
  program->set_micro_batches(1);
  proto::StageProgram* stage = program->add_stages();
  const int tokens =
      AddValue(stage, "tokens", Type(proto::I64, {kBatch, kLength}), proto::LOADED, 0, kBatch * kLength * 8);
  const int weight = AddValue(stage, "table", parameter->type(), proto::PARAMETER, -1, table_bytes);
  const int scores =
      AddValue(stage, "logits", Type(proto::F32, {kBatch, kLength, ids}), proto::OUTPUT, 1, scores_bytes);
  proto::PhaseProgram* forward = stage->add_phases();
  forward->set_phase(proto::F);
  forward->add_pools(0);
  forward->add_pools(1);
  proto::KernelCall* call = forward->add_calls();
  call->set_op("Gather");
  call->add_inputs(weight);
  call->add_inputs(tokens);
  call->add_outputs(scores);
  call->set_packed_offset(-1);
  proto::RankProgram* rank = program->add_ranks();
  rank->add_stages(0);
  AddPool(rank, proto::LOADED, table_bytes, 256);
  AddPool(rank, proto::OUTPUT, table_bytes + 256, (scores_bytes + 255) / 256 * 256);
  AddInstruction(rank, proto::Instruction::LOAD, 1);
  AddInstruction(rank, proto::Instruction::RUN, 2);
  program->add_outputs()->set_name("logits");
  program->mutable_outputs(0)->set_value(scores);
  return plan;
}

// After each byte the next one of the alphabet is by far the likeliest, and 'a' after 'z'.
std::vector<float> Alphabet() {
  std::vector<float> table(256 * 256, 0);
  for (int c = 'a'; c <= 'z'; ++c) table[c * 256 + (c == 'z' ? 'a' : c + 1)] = 50;
  table['\n' * 256 + 'm'] = 50;
  return table;
}

absl::StatusOr<std::string> Sample(const proto::ExecutionPlan& plan, const SampleOptions& options) {
  auto ranks = Ranks::Start(plan, {});
  if (!ranks.ok()) return ranks.status();
  const absl::Status started = (*ranks)->Each([](Seat& seat) {
    const absl::Status status = seat.worker->InitializeParameters();
    return status.ok() ? seat.worker->PrepareWeights() : status;
  });
  if (!started.ok()) return started;
  return SampleText(plan, options, ranks->get());
}

TEST(SampleText, FollowsTheModelWhileTheWindowFillsAndSlides) {
  const proto::ExecutionPlan plan = TablePlan(Alphabet(), 256);
  const auto text = Sample(plan, {.prompt = "x", .bytes = 12, .temperature = 1});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "xyzabcdefghij");
  EXPECT_EQ(*Sample(plan, {.prompt = "a longer prompt than the window: q", .bytes = 3, .temperature = 0}),
            "a longer prompt than the window: qrst");
  EXPECT_EQ(*Sample(plan, {.bytes = 2, .temperature = 0}), "\nmn");
}

TEST(SampleText, IsAFunctionOfTheSeed) {
  const proto::ExecutionPlan plan = TablePlan(std::vector<float>(256 * 256, 0), 256);
  const auto a = Sample(plan, {.prompt = "x", .bytes = 20, .seed = 1});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(*a, *Sample(plan, {.prompt = "x", .bytes = 20, .seed = 1}));
  EXPECT_NE(*a, *Sample(plan, {.prompt = "x", .bytes = 20, .seed = 2}));
}

TEST(SampleText, RefusesPlansThatCannotSpeak) {
  EXPECT_THAT(Sample(TablePlan(std::vector<float>(64 * 64, 0), 64), {.prompt = "x"}).status().message(),
              HasSubstr("64 ids"));
  proto::ExecutionPlan plan = TablePlan(Alphabet(), 256);
  plan.mutable_programs(0)->set_name("eval");
  EXPECT_EQ(Sample(plan, {.prompt = "x"}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace
