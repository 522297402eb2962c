#include "runtime/worker/program_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/trace/profiler_range.h"
#include "runtime/worker/packs.h"
#include "runtime/worker/replica_work.h"
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
  MR_ASSIGN_OR_RETURN(runner->times_, DeviceTimes::Make(options.device, stream, instructions));
  runner->replicas_ = std::max<uint32_t>(1, plan.dp());
  runner->replica_ = plan.dp() < 2 ? 0 : static_cast<uint32_t>(options.rank / PipelineRanks(plan));
  runner->posted_.resize(channels);
  runner->finished_.resize(channels);
  runner->queues_.resize(channels);
  runner->host_.resize(largest_load);
  for (int p = 0; p < static_cast<int>(binding->programs.size()); ++p) {
    BoundProgram* const program = binding->programs[p].get();
    MR_RETURN_IF_ERROR(runner->CheckInstructions(plan, *program));
    for (BoundInstruction& bound : program->instructions) MR_RETURN_IF_ERROR(runner->BindWork(p, program, &bound));
  }
  for (const auto& program : binding->programs) {
    if (options.stand) runner->all_standpoints_[program.get()] = StandpointsOf(*program);
    std::vector<std::string>& names = runner->all_names_[program.get()];
    for (const BoundInstruction& bound : program->instructions) {
      names.push_back(Describe(*program->program, *bound.source));
    }
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
        if (source.chunk()) break;
        if (source.bucket() < static_cast<uint32_t>(plan.buckets_size())) break;
        return absl::FailedPreconditionError(absl::StrCat(place, ": the plan has ", plan.buckets_size(), " buckets"));
      case Instruction::RUN:
      case Instruction::SEND:
      case Instruction::RECV:
      case Instruction::GROUP:
      case Instruction::PREPARE:
      case Instruction::RELEASE:
        break;
      default:
        return absl::UnimplementedError(absl::StrCat(place, ": this build does not run instructions of kind ",
                                                     Instruction::Kind_Name(source.kind())));
    }
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::BindWork(int index, BoundProgram* program, BoundInstruction* bound) {
  const Instruction& source = *bound->source;
  if (source.kind() == Instruction::REDUCE && source.phase() == proto::PHASE_UNSPECIFIED) {
    bound->work = &step_->reduce(static_cast<int>(source.bucket()));
  } else if (source.kind() == Instruction::GATHER && !source.chunk()) {
    bound->work = &step_->gather(static_cast<int>(source.bucket()));
  } else if (source.kind() == Instruction::REDUCE || source.kind() == Instruction::GATHER) {
    const proto::StageProgram& stage = program->program->stages(static_cast<int>(source.stage()));
    MR_ASSIGN_OR_RETURN(bound->work, source.kind() == Instruction::REDUCE ? step_->reduce_run(stage, source.phase())
                                                                          : step_->gather_chunk(index, stage));
    if (bound->work == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(Describe(*program->program, source), ": there is nothing to do for it"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> ProgramRunner::Run(const BoundProgram& program, const StepSettings& settings) {
  if (!failed_.ok()) return failed_;
  program_ = &program;
  settings_ = &settings;
  standpoints_ = options_.stand ? &all_standpoints_[&program] : nullptr;
  names_ = &all_names_[&program];
  result_ = StepResult();
  normed_ = false;
  absl::Status status;
  if (replica_ > 0 && !program.trains) {
    status = TakePart(program);  // replica 0 does the rest alone
  } else {
    status = Begin(program);
    if (status.ok()) status = RunList(settings.step);
  }
  if (status.ok()) return result_;
  // The first error of any rank is the one that every rank returns.
  options_.communicator->Abort(status);
  failed_ = options_.communicator->Barrier();
  if (failed_.ok()) failed_ = status;
  return failed_;
}

absl::Status ProgramRunner::Begin(const BoundProgram& program) {
  ring_.BeginProgram();
  if (times_ != nullptr) times_->Begin();
  std::fill(posted_.begin(), posted_.end(), 0);
  std::fill(finished_.begin(), finished_.end(), 0);
  for (ReplicaQueue& queue : queues_) queue.Clear();
  queued_ = 0;
  MR_RETURN_IF_ERROR(EnterProgram(program, arena_, options_.poison, *stream_));
  MR_RETURN_IF_ERROR(PackStale(*stream_, program, binding_));
  for (void* metric : {program.loss_sum, program.loss_count}) {
    if (metric != nullptr) MR_RETURN_IF_ERROR(stream_->Zero(metric, sizeof(double)));
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::TakePart(const BoundProgram& program) {
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const BoundInstruction& bound = program.instructions[i];
    if (bound.work == nullptr) continue;
    MR_RETURN_IF_ERROR(bound.work->Start(*stream_));
    int64_t waited = 0;
    MR_RETURN_IF_ERROR(bound.work->Finish(
        *stream_, [&] { return absl::StrCat(Place(program, static_cast<int>(i)), " waits for its replicas"); },
        &waited));
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
  return normed_ ? stream_->Synchronize() : ReadMetrics();
}

absl::Status ProgramRunner::Execute(int index, uint64_t step) {
  const BoundInstruction& bound = program_->instructions[index];
  if (bound.work != nullptr && bound.position >= 0) {
    if (posted_[bound.channel] > bound.position) return absl::OkStatus();  // it began inside a RUN
    for (const Through& through : bound.waits) MR_RETURN_IF_ERROR(WaitThrough(through.channel, through.position));
    return Enqueue(index);
  }
  const int64_t start = TraceRing::Now();
  spans_[index] = ring_.Start(index, start);
  Stand(index, /*waits=*/false);
  MR_RETURN_IF_ERROR(Mark(index, DeviceTimes::kStart));
  for (const Through& through : bound.waits) MR_RETURN_IF_ERROR(WaitThrough(through.channel, through.position));
  TraceRing::Entry& entry = ring_.at(spans_[index]);
  if (!bound.waits.empty()) {
    entry.wait = TraceRing::Now() - start;
    MR_RETURN_IF_ERROR(Mark(index, DeviceTimes::kReady));
  }
  const ProfilerRange range((*names_)[index].c_str());
  if (bound.position < 0) {
    MR_RETURN_IF_ERROR(Compute(index, step));
    entry.wait += step_->TakeWaited();
    entry.end = TraceRing::Now();
    MR_RETURN_IF_ERROR(Mark(index, DeviceTimes::kEnd));
    return CollectFinished();
  }
  MR_ASSIGN_OR_RETURN(tickets_[index], options_.communicator->PostAfter(*stream_, bound.transfers));
  posted_[bound.channel] = bound.position + 1;
  return bound.channel == 0 ? WaitThrough(0, bound.position) : absl::OkStatus();
}

absl::Status ProgramRunner::Compute(int index, uint64_t step) {
  const BoundInstruction& bound = program_->instructions[index];
  const Instruction& source = *bound.source;
  switch (source.kind()) {
    case Instruction::RUN:
      return RunCalls(bound, {options_.seed, step, InStep(source.micro_batch())});
    case Instruction::LOAD:
      return Load(bound, step);
    case Instruction::REDUCE:
    case Instruction::GATHER:
      return Together(bound.work, index);
    case Instruction::NORM:
      MR_RETURN_IF_ERROR(ReadMetrics());
      MR_RETURN_IF_ERROR(step_->Norm(*stream_, *settings_, options_.check_finite, &result_));
      normed_ = true;
      if (!result_.skipped) ++binding_->weights_version;
      return absl::OkStatus();
    case Instruction::STEP:
      return step_->Step(*stream_, source.bucket());
    case Instruction::RELEASE:
      return absl::OkStatus();
    default:
      return Pack(*stream_, program_->stage_packs[source.stage()], binding_);
  }
}

absl::Status ProgramRunner::RunCalls(const BoundInstruction& bound, const RunKey& key) {
  if (!options_.device->memory_is_hosts() && RecordedRuns::CanRecord(bound)) {
    return recorded_.Queue(*stream_, *bound.run, [&]() -> absl::Status {
      for (const BoundCall& call : bound.run->calls) MR_RETURN_IF_ERROR(Call(call, key));
      return absl::OkStatus();
    });
  }
  size_t begun = 0;
  uint32_t done = 0;
  for (const BoundCall& call : bound.run->calls) {
    MR_RETURN_IF_ERROR(Call(call, key));
    ++done;
    for (; begun < bound.beginnings.size() && bound.beginnings[begun].calls <= done; ++begun) {
      // In the order of its channel: one that others come before waits for its place in the list.
      const int index = bound.beginnings[begun].instruction;
      const BoundInstruction& next = program_->instructions[index];
      if (next.position == posted_[next.channel]) MR_RETURN_IF_ERROR(Enqueue(index));
    }
    if (queued_ > 0) MR_RETURN_IF_ERROR(CollectFinished());
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::Call(const BoundCall& call, const RunKey& key) {
  KernelArgs args = call.args;
  args.key = key;
  const absl::Status status = call.kernel->Run(*stream_, args);
  if (status.ok()) return status;
  return Within(absl::StrCat("node ", call.source->node(), " (", call.source->op(), ")"), status);
}

absl::Status ProgramRunner::WarmUp() {
  for (const auto& program : binding_->programs) {
    for (const std::vector<int>& packs : program->stage_packs) MR_RETURN_IF_ERROR(Pack(*stream_, packs, binding_));
    for (const auto& run : program->runs) {
      for (const BoundCall& call : run->calls) MR_RETURN_IF_ERROR(call.kernel->Run(*stream_, call.args));
    }
  }
  return stream_->Synchronize();
}

absl::Status ProgramRunner::Enqueue(int index) {
  const BoundInstruction& bound = program_->instructions[index];
  spans_[index] = ring_.Start(index, TraceRing::Now());
  MR_RETURN_IF_ERROR(Mark(index, DeviceTimes::kStart));
  posted_[bound.channel] = bound.position + 1;
  queues_[bound.channel].Push(bound.work);
  ++queued_;
  return LookAfter(bound.channel);
}

absl::Status ProgramRunner::Together(ReplicaWork* work, int index) {
  MR_RETURN_IF_ERROR(work->Start(*stream_));
  Stand(index, /*waits=*/true);
  return work->Finish(
      *stream_,
      [this, index] { return absl::StrCat(Place(*program_, index), " waits for the other ranks of its bucket"); },
      &ring_.at(spans_[index]).wait);
}

absl::Status ProgramRunner::Load(const BoundInstruction& bound, uint64_t step) {
  for (const BoundLoad& load : bound.loads) {
    MR_RETURN_IF_ERROR(options_.load(*load.input, step, InStep(bound.source->micro_batch()), host_.data(), load.bytes));
    MR_RETURN_IF_ERROR(stream_->CopyIn(load.memory, host_.data(), load.bytes));
  }
  return absl::OkStatus();
}

absl::Status ProgramRunner::ReadMetrics() {
  for (auto [memory, metric] :
       {std::pair(program_->loss_sum, &result_.loss_sum), std::pair(program_->loss_count, &result_.loss_count)}) {
    if (memory != nullptr) MR_RETURN_IF_ERROR(stream_->CopyOut(metric, memory, sizeof(double)));
  }
  return times_ == nullptr ? absl::OkStatus() : times_->Anchor();
}

absl::Status ProgramRunner::WaitThrough(int channel, int position) {
  while (finished_[channel] <= position) MR_RETURN_IF_ERROR(Finish(channel));
  return absl::OkStatus();
}

// Transfers that others have completed meanwhile: their spans end here.
absl::Status ProgramRunner::CollectFinished() {
  for (size_t c = 0; c < posted_.size(); ++c) MR_RETURN_IF_ERROR(LookAfter(static_cast<int>(c)));
  return absl::OkStatus();
}

// Ends what has been done by itself, and begins what comes next.
absl::Status ProgramRunner::LookAfter(int channel) {
  while (finished_[channel] < posted_[channel]) {
    const int index = program_->channels[channel][finished_[channel]];
    ReplicaWork* const work = program_->instructions[index].work;
    if (work == nullptr) {
      if (!options_.communicator->Done(tickets_[index])) break;
    } else {
      MR_ASSIGN_OR_RETURN(const bool done, queues_[channel].Advance(*stream_));
      if (!done) break;
    }
    MR_RETURN_IF_ERROR(Finish(channel));
  }
  return absl::OkStatus();
}

// Waits for the oldest of a channel that is not finished.
absl::Status ProgramRunner::Finish(int channel) {
  const int index = program_->channels[channel][finished_[channel]];
  ReplicaWork* const work = program_->instructions[index].work;
  TraceRing::Entry& entry = ring_.at(spans_[index]);
  const auto what = [this, index] { return absl::StrCat(Place(*program_, index), " waits for its peer"); };
  Stand(index, /*waits=*/true);
  if (work == nullptr) {
    const int64_t start = TraceRing::Now();
    MR_RETURN_IF_ERROR(options_.communicator->WaitOn(*stream_, tickets_[index], what));
    entry.wait += TraceRing::Now() - start;
  } else {
    MR_RETURN_IF_ERROR(queues_[channel].Finish(*stream_, what, &entry.wait));
    --queued_;
  }
  ++finished_[channel];
  entry.end = TraceRing::Now();
  return Mark(index, DeviceTimes::kEnd);
}

absl::Status ProgramRunner::Mark(int index, DeviceTimes::Point point) {
  return times_ == nullptr ? absl::OkStatus() : times_->Mark(index, point);
}

absl::Status ProgramRunner::AppendSpans(double epoch_seconds, proto::StepTrace* trace) {
  if (times_ != nullptr && failed_.ok()) MR_RETURN_IF_ERROR(times_->Replace(spans_, &ring_));
  ring_.AppendSpans(static_cast<uint32_t>(options_.rank), epoch_seconds, trace);
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
