#include "runtime/plan/verify/calls.h"

#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/op_rules.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/op_descs.h"

namespace millrace {
namespace {

std::string NameOfCall(int stage, const proto::PhaseProgram& phase, int call) {
  return absl::StrCat("stage ", stage, ", phase ", proto::Phase_Name(phase.phase()), ", call ", call, " (",
                      Quoted(phase.calls(call).node()), ", ", Quoted(phase.calls(call).op()), "): ");
}

// What a packing is made of: the addresses of the call's weights.
std::vector<uint64_t> WeightsOf(const proto::StageProgram& stage, const proto::KernelCall& call) {
  std::vector<uint64_t> weights;
  for (int v : call.inputs()) {
    if (v >= 0 && stage.values(v).life() == proto::PARAMETER) weights.push_back(stage.values(v).offset());
  }
  return weights;
}

struct Packing {
  bool prepared = false;
  std::vector<uint64_t> weights;
};

}  // namespace

absl::Status CheckCalls(const proto::Program& program, const Wiring& wiring) {
  for (int s = 0; s < program.stages_size(); ++s) {
    const Where here = {&program, wiring.rank_of_stage[s]};
    for (const proto::PhaseProgram& phase : program.stages(s).phases()) {
      for (int c = 0; c < phase.calls_size(); ++c) {
        if (!IsKnownOp(phase.calls(c).op())) {
          return Broken("known-op", here, absl::StrCat(NameOfCall(s, phase, c), "no kernel of that name"));
        }
        const absl::Status status = CheckOp(CallDesc(program.stages(s), phase.calls(c)));
        if (!status.ok()) return Broken("shapes", here, absl::StrCat(NameOfCall(s, phase, c), status.message()));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPacking(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings) {
  // (rank, packed offset); where chunks take turns in the same bytes, each stage has its own.
  absl::flat_hash_map<std::tuple<int, int, int64_t>, Packing> packings;
  const auto turn = [&plan](int stage) { return DividesParameters(plan) ? stage : -1; };
  const auto has_packing = [](const proto::KernelCall& call) {
    return call.packed_offset() >= 0 && call.packed_bytes() > 0;
  };
  for (int p = 0; p < plan.programs_size(); ++p) {
    for (int s = 0; s < plan.programs(p).stages_size(); ++s) {
      const proto::StageProgram& stage = plan.programs(p).stages(s);
      for (const proto::CallRef& ref : stage.prepare()) {
        const proto::KernelCall& call = stage.phases(wirings[p].phases[s][ref.phase()]).calls(ref.call());
        if (!has_packing(call)) {
          return Broken("index", {&plan.programs(p), wirings[p].rank_of_stage[s]},
                        absl::StrCat("stage ", s, ": PREPARE names call ", ref.call(), " (", Quoted(call.node()),
                                     "), which has no packed weights"));
        }
        packings[{wirings[p].rank_of_stage[s], turn(s), call.packed_offset()}] = {true, WeightsOf(stage, call)};
      }
    }
  }
  for (int p = 0; p < plan.programs_size(); ++p) {
    for (int s = 0; s < plan.programs(p).stages_size(); ++s) {
      const proto::StageProgram& stage = plan.programs(p).stages(s);
      const Where here = {&plan.programs(p), wirings[p].rank_of_stage[s]};
      for (const proto::PhaseProgram& phase : stage.phases()) {
        for (int c = 0; c < phase.calls_size(); ++c) {
          if (!has_packing(phase.calls(c))) continue;
          const Packing& packing = packings[{here.rank, turn(s), phase.calls(c).packed_offset()}];
          if (!packing.prepared) {
            return Broken("read-before-write", here,
                          absl::StrCat(NameOfCall(s, phase, c), "no PREPARE makes its packed weights"));
          }
          if (packing.weights != WeightsOf(stage, phase.calls(c))) {
            return Broken("overlap", here,
                          absl::StrCat(NameOfCall(s, phase, c), "its packed weights at ",
                                       phase.calls(c).packed_offset(), " are made from other weights"));
          }
        }
      }
    }
  }
  return absl::OkStatus();
}

bool Accumulates(const proto::KernelCall& call, int output) {
  const std::string& op = call.op();
  if (op == "MatMulWeightGrad" || op == "Accumulate" || op == "GatherGrad") return true;
  if (op == "LayerNormalizationGrad" || op == "RMSNormalizationGrad") return output > 0;
  if (op == "LinearCrossEntropy") return output == 3;
  if (op == "AdamW" || op == "SgdMomentum") return true;
  if (op == "ReduceSumTo") return Attributes(call.attributes()).Int("accumulate", 0) == 1;
  return false;
}

}  // namespace millrace
