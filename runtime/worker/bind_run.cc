#include "runtime/worker/bind_run.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

absl::Status AtNode(const proto::KernelCall& call, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("node ", call.node(), " (", call.op(), "): ", status.message()));
}

absl::StatusOr<const proto::Value*> ValueOf(const proto::StageProgram& stage, int64_t value) {
  if (value >= 0 && value < stage.values_size()) return &stage.values(static_cast<int>(value));
  return absl::FailedPreconditionError(
      absl::StrCat("value ", value, " of stage ", stage.stage(), ", which has ", stage.values_size()));
}

absl::StatusOr<TensorSpec> SpecOf(const proto::StageProgram& stage, int value) {
  if (value < 0) return TensorSpec();
  MR_ASSIGN_OR_RETURN(const proto::Value* v, ValueOf(stage, value));
  return TensorSpec::Of(v->type());
}

}  // namespace

absl::StatusOr<OpDesc> DescOf(const proto::StageProgram& stage, const proto::KernelCall& call) {
  OpDesc desc;
  desc.op = call.op();
  desc.attributes = Attributes(call.attributes());
  for (int value : call.inputs()) {
    MR_ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(stage, value));
    desc.inputs.push_back(std::move(spec));
  }
  for (int value : call.outputs()) {
    MR_ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(stage, value));
    desc.outputs.push_back(std::move(spec));
  }
  return desc;
}

absl::StatusOr<char*> RunBinder::Address(const proto::StageProgram& stage, int64_t value,
                                         const proto::Instruction& instruction) const {
  MR_ASSIGN_OR_RETURN(const proto::Value* v, ValueOf(stage, value));
  const int64_t needed = TensorSpec::Of(v->type()).bytes();
  if (static_cast<uint64_t>(needed) > v->bytes()) {
    return absl::FailedPreconditionError(
        absl::StrCat("value ", v->name(), " needs ", needed, " bytes and has ", v->bytes()));
  }
  int slot = 0;
  if (v->pool() >= 0) {
    if (v->pool() >= out_->rank->pools_size()) {
      return absl::FailedPreconditionError(
          absl::StrCat("value ", v->name(), " lies in pool ", v->pool(), "; the rank has ", out_->rank->pools_size()));
    }
    const proto::Pool& pool = out_->rank->pools(v->pool());
    slot = SlotOf(instruction, v->pool());
    if (slot < 0 || static_cast<uint32_t>(slot) >= pool.slots()) {
      return absl::FailedPreconditionError(absl::StrCat("the instruction names slot ", slot, " of pool ", pool.name(),
                                                        " (", pool.slots(), " slots), where value ", v->name(),
                                                        " lies"));
    }
  }
  return arena_.At(AddressOf(*out_->rank, *v, slot), v->bytes(), absl::StrCat("value ", v->name()));
}

absl::StatusOr<const Kernel*> RunBinder::KernelFor(const proto::StageProgram& stage, const proto::KernelCall& call) {
  MR_ASSIGN_OR_RETURN(OpDesc desc, DescOf(stage, call));
  MR_ASSIGN_OR_RETURN(const Kernel* kernel, binding_->kernels.Get(desc));
  const KernelNeeds& needs = kernel->needs();
  if (needs.scratch_bytes > call.scratch_bytes()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the kernel needs ", needs.scratch_bytes, " bytes of scratch and the plan gives ", call.scratch_bytes(), " (",
        desc.Key(), "): the plan was made for another backend or version; partition again"));
  }
  const uint64_t packed = call.packed_offset() < 0 ? 0 : call.packed_bytes();
  if (needs.packed_bytes > packed) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel needs ", needs.packed_bytes, " bytes of packed weights and the plan gives ", packed,
                     " (", desc.Key(), "): the plan was made for another backend or version; partition again"));
  }
  return kernel;
}

absl::Status RunBinder::BindCall(const proto::StageProgram& stage, const proto::KernelCall& call,
                                 const proto::Instruction& instruction, BoundRun* run) {
  BoundCall bound;
  bound.source = &call;
  MR_ASSIGN_OR_RETURN(bound.kernel, KernelFor(stage, call));
  void** const inputs = run->pointers.data() + run->pointers.size();
  for (int value : call.inputs()) {
    run->pointers.push_back(nullptr);
    if (value < 0) continue;
    MR_ASSIGN_OR_RETURN(run->pointers.back(), Address(stage, value, instruction));
  }
  void** const outputs = run->pointers.data() + run->pointers.size();
  for (int value : call.outputs()) {
    run->pointers.push_back(nullptr);
    if (value < 0) continue;
    MR_ASSIGN_OR_RETURN(run->pointers.back(), Address(stage, value, instruction));
  }
  bound.args.inputs = inputs;
  bound.args.outputs = outputs;
  if (call.scratch_bytes() > 0) {
    MR_ASSIGN_OR_RETURN(bound.args.scratch, arena_.At(call.scratch_offset(), call.scratch_bytes(), "kernel scratch"));
  }
  if (bound.kernel->needs().packed_bytes > 0) {
    MR_ASSIGN_OR_RETURN(bound.args.packed, arena_.At(call.packed_offset(), call.packed_bytes(), "packed weights"));
    const auto made = std::find_if(binding_->packs.begin(), binding_->packs.end(), [&](const BoundPack& pack) {
      return pack.packed == bound.args.packed && pack.chunk == ChunkOf(stage) &&
             pack.kernel->needs().pack_key == bound.kernel->needs().pack_key;
    });
    if (made == binding_->packs.end()) {
      return absl::FailedPreconditionError("no PREPARE of the plan makes its packed weights");
    }
    const int index = static_cast<int>(made - binding_->packs.begin());
    std::vector<int>& used = out_->used_packs;
    if (!chunks_ && std::find(used.begin(), used.end(), index) == used.end()) used.push_back(index);
  }
  for (const proto::Attribute& attribute : call.attributes()) run->random |= attribute.name() == "random_key";
  run->calls.push_back(bound);
  return absl::OkStatus();
}

absl::StatusOr<const BoundRun*> RunBinder::Run(const proto::Instruction& instruction) {
  std::string key = absl::StrCat(instruction.stage(), " ", instruction.phase());
  for (const proto::SlotUse& use : instruction.slots()) absl::StrAppend(&key, " ", use.pool(), ":", use.slot());
  const BoundRun*& known = runs_[key];
  if (known != nullptr) return known;

  if (instruction.stage() >= static_cast<uint32_t>(out_->program->stages_size())) {
    return absl::FailedPreconditionError(absl::StrCat("there is no stage ", instruction.stage()));
  }
  const proto::StageProgram& stage = out_->program->stages(instruction.stage());
  const proto::PhaseProgram* const phase = FindPhase(stage, instruction.phase());
  if (phase == nullptr) return absl::FailedPreconditionError("the stage has no such phase");

  auto run = std::make_unique<BoundRun>();
  size_t pointers = 0;
  for (const proto::KernelCall& call : phase->calls()) pointers += call.inputs_size() + call.outputs_size();
  run->pointers.reserve(pointers);  // args point into it
  for (const proto::KernelCall& call : phase->calls()) {
    if (absl::Status status = BindCall(stage, call, instruction, run.get()); !status.ok()) return AtNode(call, status);
  }
  known = run.get();
  out_->runs.push_back(std::move(run));
  return known;
}

absl::Status RunBinder::Packs(const proto::StageProgram& stage) {
  for (const proto::CallRef& ref : stage.prepare()) {
    const proto::KernelCall* call = nullptr;
    for (const proto::PhaseProgram& phase : stage.phases()) {
      if (phase.phase() != ref.phase() || ref.call() >= static_cast<uint32_t>(phase.calls_size())) continue;
      call = &phase.calls(ref.call());
    }
    if (call == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("PREPARE of stage ", stage.stage(), " names a call that it does not have"));
    }
    absl::StatusOr<const Kernel*> kernel = KernelFor(stage, *call);
    if (!kernel.ok()) return AtNode(*call, kernel.status());
    if ((*kernel)->needs().packed_bytes == 0) continue;
    BoundPack pack;
    pack.kernel = *kernel;
    pack.source = call;
    pack.chunk = ChunkOf(stage);
    MR_ASSIGN_OR_RETURN(pack.packed, arena_.At(call->packed_offset(), call->packed_bytes(), "packed weights"));
    pack.outputs.resize(call->outputs_size());
    if (call->scratch_bytes() > 0) {
      MR_ASSIGN_OR_RETURN(pack.scratch, arena_.At(call->scratch_offset(), call->scratch_bytes(), "kernel scratch"));
    }
    for (int value : call->inputs()) {
      pack.inputs.push_back(nullptr);
      if (value < 0 || value >= stage.values_size() || stage.values(value).pool() >= 0) continue;
      MR_ASSIGN_OR_RETURN(pack.inputs.back(), Address(stage, value, proto::Instruction()));
    }
    size_t index = 0;
    while (index < binding_->packs.size() &&
           (binding_->packs[index].packed != pack.packed || binding_->packs[index].chunk != pack.chunk)) {
      ++index;
    }
    if (index == binding_->packs.size()) {
      binding_->packs.push_back(std::move(pack));
    } else if (binding_->packs[index].kernel->needs().pack_key != pack.kernel->needs().pack_key) {
      return AtNode(*call, absl::FailedPreconditionError(absl::StrCat(
                               "its packed weights share offset ", call->packed_offset(), " with those of node ",
                               binding_->packs[index].source->node(), ", which are packed differently")));
    }
    std::vector<int>& list = out_->stage_packs[stage.stage()];
    if (std::find(list.begin(), list.end(), index) == list.end()) list.push_back(static_cast<int>(index));
  }
  return absl::OkStatus();
}

}  // namespace millrace
