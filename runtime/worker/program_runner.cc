#include "runtime/worker/program_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/packs.h"
#include "runtime/worker/standpoint.h"
#include "runtime/worker/transient.h"

namespace millrace {
namespace {

using proto::Instruction;

// The ring holds at least this many times the longest program: the flight recorder's memory.
constexpr size_t kProgramsRecorded = 4;

absl::Status Within(const std::string& place, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(place, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProgramRunner>> ProgramRunner::Make(const proto::ExecutionPlan& plan,
                                                                   const WorkerOptions& options, const Arena& arena,
                                                                   Stream* stream, Binding* binding, StepRunner* step) {
  size_t instructions = 1, channels = 0;
  uint64_t largest_load = 0;
  for (const auto& program : binding->programs) {
    instructions = std::max(instructions, program->instructions.size());
    channels = std::max(channels, program->channels.size());
    largest_load = std::max(largest_load, program->largest_load);
  }
  std::unique_ptr<ProgramRunner> runner(new ProgramRunner(options, arena, stream, binding, step, instructions));
  runner->replicas_ = std::max<uint32_t>(1, plan.dp());
  runner->replica_ = static_cast<uint32_t>(options.rank / PipelineRanks(plan));
  runner->posted_.resize(channels);
  runner->finished_.resize(channels);
  runner->host_.resize(largest_load);
  for (const auto& program : binding->programs) MR_RETURN_IF_ERROR(runner->CheckInstructions(plan, *program));
  for (const auto& program : binding->programs) {
    if (options.stand) runner->all_standpoints_[program.get()] = StandpointsOf(*program);
  }
  return runner;
}

ProgramRunner::ProgramRunner(const WorkerOptions& options, const Arena& arena, Stream* stream, Binding* binding,
                             StepRunner* step, size_t instructions)
    : options_(options),
      arena_(arena),
      stream_(stream),
      binding_(binding),
      step_(step),
      ring_(kProgramsRecorded * instructions),
      tickets_(instructions),
      spans_(instructions) {}

absl::Status ProgramRunner::CheckInstructions(const proto::ExecutionPlan& plan, const BoundProgram& program) const {
  bool normed = false;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const BoundInstruction& bound = program.instructions[i];
    const Instruction& source = *bound.source;
    const std::string place = Place(program, static_cast<int>(i));
    switch (source.kind()) {
      case Instruction::LOAD:
        if (options_.load) break;
        return absl::InvalidArgumentError(absl::StrCat(place, ": WorkerOptions.load is not set"));
      case Instruction::NORM:
        normed = true;
        break;
      case Instruction::STEP:
        if (!normed) return absl::FailedPreconditionError(absl::StrCat(place, ": it must come after NORM"));
        [[fallthrough]];
      case Instruction::REDUCE:
      case Instruction::GATHER:
        if (source.bucket() < static_cast<uint32_t>(plan.buckets_size())) break;
        return absl::FailedPreconditionError(absl::StrCat(place, ": the plan has ", plan.buckets_size(), " buckets"));
      case Instruction::RUN:
      case Instruction::SEND:
      case Instruction::RECV:
      case Instruction::GROUP:
      case Instruction::PREPARE:
        break;
      default:
        return absl::UnimplementedError(absl::StrCat(place, ": this build does not run instructions of kind ",
                                                     Instruction::Kind_Name(source.kind())));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> ProgramRunner::Run(const BoundProgram& program, const StepSettings& settings) {
  if (!failed_.ok()) return failed_;
  if (replica_ > 0 && !program.trains) return StepResult();  // replica 0 does it alone
  program_ = &program;
  settings_ = &settings;
  standpoints_ = options_.stand ? &all_standpoints_[&program] : nullptr;
  result_ = StepResult();
  normed_ = false;
  absl::Status status = Begin(program);
  if (status.ok()) status = RunList(settings.step);
  if (status.ok()) return result_;
  // The first error of any rank is the one that every rank returns.
  options_.communicator->Abort(status);
  failed_ = options_.communicator->Barrier();
  if (failed_.ok()) failed_ = status;
  return failed_;
}

absl::Status ProgramRunner::Begin(const BoundProgram& program) {
  ring_.BeginProgram();
  std::fill(posted_.begin(), posted_.end(), 0);
  std::fill(finished_.begin(), finished_.end(), 0);
  MR_RETURN_IF_ERROR(EnterProgram(program, arena_, options_.poison));
  MR_RETURN_IF_ERROR(PackStale(*stream_, program, binding_));
  for (void* metric : {program.loss_sum, program.loss_count}) {
    if (metric != nullptr) MR_RETURN_IF_ERROR(stream_->Zero(metric, sizeof(double)));
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::RunList(uint64_t step) {
  for (size_t i = 0; i < program_->instructions.size(); ++i) {
    absl::Status status = Execute(static_cast<int>(i), step);
    if (!status.ok()) return Within(Place(*program_, static_cast<int>(i)), status);
  }
  for (size_t c = 0; c < program_->channels.size(); ++c) {
    MR_RETURN_IF_ERROR(WaitThrough(static_cast<int>(c), static_cast<int>(program_->channels[c].size()) - 1));
  }
  return normed_ ? absl::OkStatus() : ReadMetrics();
}

absl::Status ProgramRunner::Execute(int index, uint64_t step) {
  const BoundInstruction& bound = program_->instructions[index];
  const int64_t start = TraceRing::Now();
  spans_[index] = ring_.Start(index, start);
  Stand(index, /*waits=*/false);
  for (const Through& through : bound.waits) MR_RETURN_IF_ERROR(WaitThrough(through.channel, through.position));
  TraceRing::Entry& entry = ring_.at(spans_[index]);
  if (!bound.waits.empty()) entry.wait = TraceRing::Now() - start;
  if (bound.position < 0) {
    MR_RETURN_IF_ERROR(Compute(index, step));
    entry.wait += step_->TakeWaited();
    entry.end = TraceRing::Now();
    return CollectFinished();
  }
  MR_RETURN_IF_ERROR(stream_->Synchronize());
  MR_ASSIGN_OR_RETURN(tickets_[index], options_.communicator->Post(bound.transfers));
  posted_[bound.channel] = bound.position + 1;
  return bound.channel == 0 ? WaitThrough(0, bound.position) : absl::OkStatus();
}

absl::Status ProgramRunner::Compute(int index, uint64_t step) {
  const BoundInstruction& bound = program_->instructions[index];
  const Instruction& source = *bound.source;
  auto what = [this, index] {
    return absl::StrCat(Place(*program_, index), " waits for the other ranks of its bucket");
  };
  switch (source.kind()) {
    case Instruction::RUN:
      return RunCalls(*bound.run, {options_.seed, step, InStep(source.micro_batch())});
    case Instruction::LOAD:
      return Load(bound, step);
    case Instruction::REDUCE:
      return step_->Reduce(*stream_, source.bucket(), what);
    case Instruction::NORM:
      MR_RETURN_IF_ERROR(ReadMetrics());
      MR_RETURN_IF_ERROR(step_->Norm(*stream_, *settings_, options_.check_finite, &result_));
      normed_ = true;
      if (!result_.skipped) ++binding_->weights_version;
      return absl::OkStatus();
    case Instruction::STEP:
      return step_->Step(*stream_, source.bucket());
    case Instruction::GATHER:
      return step_->Gather(*stream_, source.bucket(), what);
    default:
      return Pack(*stream_, program_->stage_packs[source.stage()], binding_);
  }
}

absl::Status ProgramRunner::RunCalls(const BoundRun& run, const RunKey& key) {
  for (const BoundCall& call : run.calls) {
    KernelArgs args = call.args;
    args.key = key;
    absl::Status status = call.kernel->Run(*stream_, args);
    if (!status.ok()) {
      return Within(absl::StrCat("node ", call.source->node(), " (", call.source->op(), ")"), status);
    }
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::Load(const BoundInstruction& bound, uint64_t step) {
  for (const BoundLoad& load : bound.loads) {
    MR_RETURN_IF_ERROR(options_.load(*load.input, step, InStep(bound.source->micro_batch()), host_.data(), load.bytes));
    MR_RETURN_IF_ERROR(options_.device->CopyIn(load.memory, host_.data(), load.bytes));
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::ReadMetrics() {
  MR_RETURN_IF_ERROR(stream_->Synchronize());
  for (auto [memory, metric] :
       {std::pair(program_->loss_sum, &result_.loss_sum), std::pair(program_->loss_count, &result_.loss_count)}) {
    if (memory != nullptr) MR_RETURN_IF_ERROR(options_.device->CopyOut(metric, memory, sizeof(double)));
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::WaitThrough(int channel, int position) {
  while (finished_[channel] <= position) MR_RETURN_IF_ERROR(Finish(channel));
  return absl::OkStatus();
}

// Transfers that others have completed meanwhile: their spans end here.
absl::Status ProgramRunner::CollectFinished() {
  for (size_t c = 0; c < posted_.size(); ++c) {
    while (finished_[c] < posted_[c]) {
      if (!options_.communicator->Done(tickets_[program_->channels[c][finished_[c]]])) break;
      MR_RETURN_IF_ERROR(Finish(static_cast<int>(c)));
    }
  }
  return absl::OkStatus();
}

// Waits for the oldest unfinished transfer of a channel.
absl::Status ProgramRunner::Finish(int channel) {
  const int index = program_->channels[channel][finished_[channel]];
  const int64_t start = TraceRing::Now();
  Stand(index, /*waits=*/true);
  MR_RETURN_IF_ERROR(options_.communicator->Wait(
      tickets_[index], [this, index] { return absl::StrCat(Place(*program_, index), " waits for its peer"); }));
  ++finished_[channel];
  TraceRing::Entry& entry = ring_.at(spans_[index]);
  entry.end = TraceRing::Now();
  entry.wait += entry.end - start;
  return absl::OkStatus();
}

void ProgramRunner::Stand(int index, bool waits) {
  if (standpoints_ == nullptr) return;
  Standpoint stand = (*standpoints_)[index];
  if (!waits) stand.peer = -1;
  options_.stand(stand);
}

std::string ProgramRunner::Place(const BoundProgram& program, int index) const {
  return absl::StrCat("rank ", options_.rank, ", program ", program.program->name(), ", instruction ", index, " (",
                      Describe(*program.program, *program.instructions[index].source), ")");
}

}  // namespace millrace
