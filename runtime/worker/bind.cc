#include "runtime/worker/bind.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/bind_run.h"
#include "runtime/worker/transient.h"

namespace millrace {
namespace {

using proto::Instruction;

bool IsTransfer(Instruction::Kind kind) {
  return kind == Instruction::SEND || kind == Instruction::RECV || kind == Instruction::GROUP;
}

// Do two groups touch the same bytes, one of them writing?
bool Conflict(const std::vector<Transfer>& a, const std::vector<Transfer>& b) {
  for (const Transfer& x : a) {
    for (const Transfer& y : b) {
      if (x.send && y.send) continue;
      const char* xm = static_cast<const char*>(x.memory);
      const char* ym = static_cast<const char*>(y.memory);
      if (xm < ym + y.bytes && ym < xm + x.bytes) return true;
    }
  }
  return false;
}

class ProgramBinder {
 public:
  ProgramBinder(const proto::ExecutionPlan& plan, int program, int rank, const Arena& arena, Binding* binding)
      : plan_(plan),
        program_(plan.programs(program)),
        index_(program),
        place_(rank % PipelineRanks(plan)),
        first_rank_(rank - place_),
        arena_(arena),
        out_(std::make_unique<BoundProgram>()),
        runs_(arena, out_.get(), binding, DividesParameters(plan)) {}

  absl::Status BindPacks() {
    if (program_.ranks_size() <= place_) {
      return absl::FailedPreconditionError(absl::StrCat("it lists ", program_.ranks_size(), " ranks"));
    }
    out_->program = &program_;
    out_->rank = &program_.ranks(place_);
    out_->stage_packs.resize(program_.stages_size());
    rank_of_stage_.assign(program_.stages_size(), -1);
    for (const proto::RankProgram& rank : program_.ranks()) {
      for (uint32_t stage : rank.stages()) {
        if (stage >= static_cast<uint32_t>(program_.stages_size())) {
          return absl::FailedPreconditionError(absl::StrCat("there is no stage ", stage));
        }
        rank_of_stage_[stage] = first_rank_ + static_cast<int>(rank.rank());
      }
    }
    for (uint32_t stage : out_->rank->stages()) MR_RETURN_IF_ERROR(runs_.Packs(program_.stages(stage)));
    return absl::OkStatus();
  }

  absl::Status BindInstructions() {
    MR_RETURN_IF_ERROR(BindMetrics());
    const auto& list = out_->rank->instructions();
    out_->instructions.resize(list.size());
    for (int i = 0; i < list.size(); ++i) {
      if (absl::Status status = Bind(list[i], i); !status.ok()) {
        return absl::Status(
            status.code(), absl::StrCat("instruction ", i, " (", Describe(program_, list[i]), "): ", status.message()));
      }
    }
    DescribeTransient(out_.get());
    return absl::OkStatus();
  }

  std::unique_ptr<BoundProgram> Take() { return std::move(out_); }

 private:
  absl::Status BindMetrics() {
    for (const proto::Value& metric : out_->rank->metrics()) {
      MR_ASSIGN_OR_RETURN(char* memory, arena_.At(metric.offset(), 8, absl::StrCat("metric ", metric.name())));
      if (metric.name() == "loss_sum") out_->loss_sum = memory;
      if (metric.name() == "loss_count") out_->loss_count = memory;
    }
    return absl::OkStatus();
  }

  absl::Status Bind(const Instruction& source, int index) {
    BoundInstruction& bound = out_->instructions[index];
    bound.source = &source;
    out_->trains = out_->trains || source.kind() == Instruction::NORM;
    if (source.channel() >= (1u << 16)) return absl::FailedPreconditionError("its channel is out of range");
    bound.channel = static_cast<int>(source.channel());
    if (source.kind() == Instruction::RUN) {
      MR_ASSIGN_OR_RETURN(bound.run, runs_.Run(source));
    } else if (source.kind() == Instruction::LOAD) {
      MR_RETURN_IF_ERROR(BindLoad(source, &bound));
    } else if (source.kind() == Instruction::PREPARE) {
      if (source.stage() >= out_->stage_packs.size()) return absl::FailedPreconditionError("there is no such stage");
    } else if (source.kind() == Instruction::GROUP) {
      if (source.group().empty()) return absl::FailedPreconditionError("it is empty");
      for (const Instruction& member : source.group()) MR_RETURN_IF_ERROR(BindTransfer(member, &bound));
    } else if (IsTransfer(source.kind())) {
      MR_RETURN_IF_ERROR(BindTransfer(source, &bound));
    }
    return BindWaits(source, index, &bound);
  }

  absl::Status BindLoad(const Instruction& source, BoundInstruction* bound) {
    if (source.stage() >= static_cast<uint32_t>(program_.stages_size())) {
      return absl::FailedPreconditionError("there is no such stage");
    }
    const proto::StageProgram& stage = program_.stages(source.stage());
    for (int v = 0; v < stage.values_size(); ++v) {
      const proto::Value& value = stage.values(v);
      if (value.life() != proto::LOADED) continue;
      BoundLoad load;
      for (const proto::Input& input : plan_.inputs()) {
        if (input.name() == value.name()) load.input = &input;
      }
      if (load.input == nullptr) {
        return absl::FailedPreconditionError(absl::StrCat("value ", value.name(), " is no input of the model"));
      }
      MR_ASSIGN_OR_RETURN(load.memory, runs_.Address(stage, v, source));
      load.bytes = static_cast<uint64_t>(TensorSpec::Of(value.type()).bytes());
      out_->largest_load = std::max(out_->largest_load, load.bytes);
      bound->loads.push_back(load);
    }
    return absl::OkStatus();
  }

  absl::Status BindTransfer(const Instruction& source, BoundInstruction* bound) {
    const bool send = source.kind() == Instruction::SEND;
    if (!send && source.kind() != Instruction::RECV) {
      return absl::FailedPreconditionError("a GROUP holds SENDs and RECVs only");
    }
    if (source.edge() >= static_cast<uint32_t>(program_.edges_size())) {
      return absl::FailedPreconditionError(absl::StrCat("there is no edge ", source.edge()));
    }
    const proto::Edge& edge = program_.edges(source.edge());
    const uint32_t here = send ? edge.from_stage() : edge.to_stage();
    const uint32_t there = send ? edge.to_stage() : edge.from_stage();
    if (here >= rank_of_stage_.size() || there >= rank_of_stage_.size() || rank_of_stage_[there] < 0) {
      return absl::FailedPreconditionError(absl::StrCat("edge ", edge.name(), " leads to a stage on no rank"));
    }
    const proto::StageProgram& stage = program_.stages(here);
    const int64_t value = send ? edge.from_value() : edge.to_value();
    Transfer transfer;
    transfer.send = send;
    transfer.peer = rank_of_stage_[there];
    transfer.tag = TransferTag(TagKind::kEdge, index_, source.edge(), source.micro_batch());
    transfer.bytes = edge.bytes();
    MR_ASSIGN_OR_RETURN(transfer.memory, runs_.Address(stage, value, source));
    if (stage.values(static_cast<int>(value)).bytes() < edge.bytes()) {
      return absl::FailedPreconditionError(absl::StrCat("edge ", edge.name(), " moves ", edge.bytes(),
                                                        " bytes and its value has ",
                                                        stage.values(static_cast<int>(value)).bytes()));
    }
    bound->transfers.push_back(transfer);
    return absl::OkStatus();
  }

  // Compute runs on the host's thread in list order, so only transfers have to be waited for. A transfer is posted
  // while earlier ones of its channel are still under way, unless they share bytes with it.
  absl::Status BindWaits(const Instruction& source, int index, BoundInstruction* bound) {
    auto wait = [bound](int channel, int position) {
      for (Through& known : bound->waits) {
        if (known.channel != channel) continue;
        known.position = std::max(known.position, position);
        return;
      }
      bound->waits.push_back({channel, position});
    };
    for (uint32_t earlier : source.after()) {
      if (earlier >= static_cast<uint32_t>(index)) {
        return absl::FailedPreconditionError(absl::StrCat("it comes after instruction ", earlier, ", a later one"));
      }
      const BoundInstruction& other = out_->instructions[earlier];
      if (InBackground(*other.source)) wait(other.channel, other.position);
    }
    if (source.has_begins()) MR_RETURN_IF_ERROR(BindBeginning(source, index));
    if (out_->channels.size() <= static_cast<size_t>(bound->channel)) out_->channels.resize(bound->channel + 1);
    std::vector<int>& channel = out_->channels[bound->channel];
    const int earlier = static_cast<int>(channel.size());  // transfers of this channel so far
    if (!InBackground(source)) {
      if (earlier > 0) wait(bound->channel, earlier - 1);
      return absl::OkStatus();
    }
    // A REDUCE or GATHER starts by itself when the one before it is done.
    for (int p = earlier - 1; p >= 0 && IsTransfer(source.kind()); --p) {
      const BoundInstruction& other = out_->instructions[channel[p]];
      if (IsTransfer(other.source->kind()) && !Conflict(bound->transfers, other.transfers)) continue;
      wait(bound->channel, p);
      break;
    }
    bound->position = earlier;
    channel.push_back(index);
    return absl::OkStatus();
  }

  absl::Status BindBeginning(const Instruction& source, int index) {
    const uint32_t run = source.begins().instruction();
    if (run >= static_cast<uint32_t>(index) || out_->instructions[run].run == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("it begins in instruction ", run, ", which is no earlier RUN"));
    }
    std::vector<BoundInstruction::Beginning>& all = out_->instructions[run].beginnings;
    all.push_back({source.begins().calls(), index});
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.calls < b.calls; });
    return absl::OkStatus();
  }

  const proto::ExecutionPlan& plan_;
  const proto::Program& program_;
  const int index_;
  const int place_;       // in the pipeline
  const int first_rank_;  // of this replica
  const Arena& arena_;
  std::unique_ptr<BoundProgram> out_;
  RunBinder runs_;
  std::vector<int> rank_of_stage_;
};

}  // namespace

bool InBackground(const Instruction& instruction) {
  const bool of_replicas = instruction.kind() == Instruction::REDUCE || instruction.kind() == Instruction::GATHER;
  return IsTransfer(instruction.kind()) || (of_replicas && instruction.channel() != 0);
}

absl::Status BindPrograms(const proto::ExecutionPlan& plan, int rank, const Arena& arena, Binding* binding) {
  std::vector<std::unique_ptr<ProgramBinder>> binders;
  for (int p = 0; p < plan.programs_size(); ++p) {
    binders.push_back(std::make_unique<ProgramBinder>(plan, p, rank, arena, binding));
  }
  auto named = [&](int p, const absl::Status& status) {
    if (status.ok()) return status;
    return absl::Status(status.code(),
                        absl::StrCat("rank ", rank, ", program ", plan.programs(p).name(), ": ", status.message()));
  };
  // A program may use what another one packs, so packs come first.
  for (int p = 0; p < plan.programs_size(); ++p) MR_RETURN_IF_ERROR(named(p, binders[p]->BindPacks()));
  for (int p = 0; p < plan.programs_size(); ++p) {
    MR_RETURN_IF_ERROR(named(p, binders[p]->BindInstructions()));
    binding->programs.push_back(binders[p]->Take());
  }
  return absl::OkStatus();
}

}  // namespace millrace
