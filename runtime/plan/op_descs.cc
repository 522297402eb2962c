#include "runtime/plan/op_descs.h"

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

int64_t Elements(const proto::PlannedParameter& parameter) { return TensorSpec::Of(parameter.type()).elements(); }

TensorSpec SpecOf(const proto::StageProgram& stage, int value) {
  return value < 0 ? TensorSpec() : TensorSpec::Of(stage.values(value).type());
}

TensorSpec GradientOf(const proto::PlannedParameter& parameter, int64_t piece) {
  return {parameter.type().dtype() == proto::F64 ? proto::F64 : proto::F32,
          {piece == kWhole ? Elements(parameter) : piece}};
}

}  // namespace

OpDesc CallDesc(const proto::StageProgram& stage, const proto::KernelCall& call) {
  OpDesc desc;
  desc.op = call.op();
  for (int v : call.inputs()) desc.inputs.push_back(SpecOf(stage, v));
  for (int v : call.outputs()) desc.outputs.push_back(SpecOf(stage, v));
  desc.attributes = Attributes(call.attributes());
  return desc;
}

TensorSpec GradientSpec(const proto::PlannedParameter& parameter) { return GradientOf(parameter, kWhole); }

OpDesc SquaredSumsOp(const proto::PlannedParameter& parameter, uint64_t block, int64_t piece) {
  const TensorSpec gradient = GradientOf(parameter, piece);
  const uint64_t elements = static_cast<uint64_t>(gradient.elements());
  const uint64_t blocks = elements / block + (elements % block != 0);
  OpDesc desc{"SquaredSums", {gradient}, {{proto::F64, {static_cast<int64_t>(blocks)}}}, {}};
  desc.attributes.SetInt("block", static_cast<int64_t>(block));
  return desc;
}

OpDesc OptimizerOp(const proto::PlannedParameter& parameter, absl::string_view optimizer, int64_t piece) {
  const TensorSpec gradient = GradientOf(parameter, piece);
  OpDesc desc{"", {{proto::F64, {kHyperElements}}}, {{parameter.type().dtype(), gradient.dims}, gradient}, {}};
  if (optimizer == "adamw") desc.op = "AdamW";
  if (optimizer == "sgd") desc.op = "SgdMomentum";
  const int master = IsHalf(parameter.type().dtype()) ? 1 : 0;
  desc.outputs.resize((desc.op == "AdamW" ? 4 : 3) + master, gradient);
  desc.attributes.SetInt("decay", parameter.decay() ? 1 : 0);
  return desc;
}

int OptimizerStates(const proto::PlannedParameter& parameter, absl::string_view optimizer) {
  const OpDesc step = OptimizerOp(parameter, optimizer);
  return step.op.empty() ? 0 : static_cast<int>(step.outputs.size()) - 2;
}

OpDesc AccumulateOp(const proto::PlannedParameter& parameter, int64_t piece) {
  return {"Accumulate", {GradientOf(parameter, piece)}, {GradientOf(parameter, piece)}, {}};
}

std::string PackCostKey(absl::string_view call_key) { return absl::StrCat("pack ", call_key); }

}  // namespace millrace
