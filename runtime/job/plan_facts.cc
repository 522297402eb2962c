#include "runtime/job/plan_facts.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

const proto::Value* ValueOf(const proto::StageProgram& stage, const google::protobuf::RepeatedField<int32_t>& operands,
                            int i) {
  return i < operands.size() && operands[i] >= 0 && operands[i] < stage.values_size() ? &stage.values(operands[i])
                                                                                      : nullptr;
}

// The count of ids that one call allows, 0 when it says nothing about them.
int64_t IdsAllowedBy(const proto::StageProgram& stage, const proto::KernelCall& call, bool has_tokens) {
  const proto::Value* first = ValueOf(stage, call.inputs(), 0);
  const proto::Value* second = ValueOf(stage, call.inputs(), 1);
  if (first == nullptr || second == nullptr) return 0;
  if (call.op() == "Gather" && second->life() == proto::LOADED) {
    return first->type().dims_size() > 0 ? first->type().dims(0) : 0;
  }
  if (has_tokens) return 0;
  if (call.op() == "SoftmaxCrossEntropyLoss" && first->type().dims_size() > 0) {
    return first->type().dims(first->type().dims_size() - 1);
  }
  if (call.op() == "LinearCrossEntropy" && second->type().dims_size() == 2) {
    for (const proto::Attribute& attribute : call.attributes()) {
      if (attribute.name() == "transB" && attribute.i() == 0) return second->type().dims(1);
    }
    return second->type().dims(0);
  }
  return 0;
}

}  // namespace

uint64_t SamplesPerStep(const proto::ExecutionPlan& plan, const proto::Program& program) {
  // Programs that do not train run on the first replica alone.
  const uint64_t replicas = program.name() == "train" ? std::max<uint32_t>(1, plan.dp()) : 1;
  return replicas * program.micro_batches() * program.micro_batch_size();
}

bool HasTokens(const proto::ExecutionPlan& plan) {
  return std::any_of(plan.inputs().begin(), plan.inputs().end(),
                     [](const proto::Input& input) { return input.role() == proto::Input::TOKENS; });
}

int64_t TokensPerSample(const proto::ExecutionPlan& plan) {
  for (const proto::Input& input : plan.inputs()) {
    if (input.role() == proto::Input::TOKENS && input.type().dims_size() == 2) return input.type().dims(1);
  }
  return 1;
}

int64_t VocabularyOf(const proto::ExecutionPlan& plan) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return 0;
  const bool has_tokens = HasTokens(plan);
  int64_t least = 0;
  for (const proto::StageProgram& stage : train->stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        const int64_t ids = IdsAllowedBy(stage, call, has_tokens);
        if (ids > 0 && (least == 0 || ids < least)) least = ids;
      }
    }
  }
  return least;
}

double FlopsOf(const proto::Program& program) {
  double flops = 0;
  for (const proto::StageProgram& stage : program.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) flops += call.flops();
    }
  }
  return flops * program.micro_batches();
}

std::string StatePrefix(const std::string& optimizer, int state) {
  if (optimizer == "adamw" && state < 2) return state == 0 ? "adamw.m/" : "adamw.v/";
  if (optimizer == "sgd" && state == 0) return "sgd.momentum/";
  if (state == (optimizer == "adamw" ? 2 : 1)) return absl::StrCat(optimizer, ".master/");
  return absl::StrCat(optimizer, ".", state, "/");
}

}  // namespace millrace
