#include "runtime/profile/replay.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/plan_facts.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/trace/ring.h"
#include "runtime/worker/initialize.h"

namespace millrace {
namespace {

using proto::Instruction;

constexpr uint64_t kSeed = 1;
// Of a training program; of the others one. Two, so that a micro-batch follows another one's traces in the caches.
constexpr uint32_t kTrainMicroBatches = 2;

// Nanoseconds; from here on a call is long enough for the clock of its thread's processor time.
constexpr int64_t kLongCall = 20000;

// Nanoseconds of processor time of this thread.
int64_t ProcessorNow() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{1000000000} * now.tv_sec + now.tv_nsec;
}

// Bytes of a tensor: ids below `ids` (0 where none are allowed), floating-point numbers of the size of activations.
std::string Arrival(const TensorSpec& spec, int64_t ids, std::mt19937_64* random) {
  std::string bytes(static_cast<size_t>(spec.bytes()), '\0');
  std::uniform_real_distribution<float> activation(-0.5f, 0.5f);
  for (int64_t e = 0; e < spec.elements(); ++e) {
    if (spec.dtype == proto::F32) {
      const float x = activation(*random);
      std::memcpy(&bytes[e * sizeof(x)], &x, sizeof(x));
    } else if (spec.dtype == proto::I64 && ids > 0) {
      const int64_t id = static_cast<int64_t>((*random)() % static_cast<uint64_t>(ids));
      std::memcpy(&bytes[e * sizeof(id)], &id, sizeof(id));
    }
  }
  return bytes;
}

}  // namespace

Replay::Replay(const proto::ExecutionPlan& plan, const CallTable& table, int rank, bool processor_time, Arena arena,
               std::unique_ptr<Stream> stream)
    : plan_(plan),
      table_(table),
      rank_(rank),
      processor_time_(processor_time),
      arena_(std::move(arena)),
      stream_(std::move(stream)),
      binding_(arena_.device()),
      needs_(table.calls().size()) {}

absl::StatusOr<std::unique_ptr<Replay>> Replay::Make(const proto::ExecutionPlan& plan, const CallTable& table, int rank,
                                                     Device* device) {
  // The streams of these kinds work on the thread that calls them.
  const bool processor_time =
      plan.ranks(rank).threads() <= 1 && (device->kind() == "cpu" || device->kind() == "reference");
  MR_ASSIGN_OR_RETURN(Arena arena, Arena::Make(device, plan.ranks(rank).arena_bytes()));
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Stream> stream, device->NewStream());
  std::unique_ptr<Replay> replay(new Replay(plan, table, rank, processor_time, std::move(arena), std::move(stream)));
  MR_RETURN_IF_ERROR(replay->Bind());
  return replay;
}

absl::Status Replay::Bind() {
  MR_RETURN_IF_ERROR(BindPrograms(plan_, rank_, arena_, &binding_));
  MR_RETURN_IF_ERROR(FillParameters());
  AddPacks();  // first, because calls read what they make
  for (const auto& program : binding_.programs) {
    const bool train = program->program->name() == "train";
    AddProgram(*program, train ? kTrainMicroBatches : 1);
    if (train) MR_RETURN_IF_ERROR(AddOptimizer());
  }
  return absl::OkStatus();
}

absl::Status Replay::FillParameters() {
  for (const proto::PlannedParameter& parameter : plan_.parameters()) {
    for (const proto::ParameterPlace& place : parameter.places()) {
      if (static_cast<int>(place.rank()) != rank_) continue;
      MR_ASSIGN_OR_RETURN(const std::string values, InitialValues(parameter, kSeed));
      MR_ASSIGN_OR_RETURN(char* weight, arena_.At(place.weight_offset(), values.size(), parameter.name()));
      MR_RETURN_IF_ERROR(stream_->CopyIn(weight, values.data(), values.size()));
    }
  }
  return absl::OkStatus();
}

void Replay::AddArrival(const TensorSpec& spec, void* to) {
  std::unique_ptr<std::string>& bytes = arrivals_[spec.ToString()];
  if (bytes == nullptr) {
    std::mt19937_64 random(kSeed + arrivals_.size());
    bytes = std::make_unique<std::string>(Arrival(spec, VocabularyOf(plan_), &random));
  }
  TimedCall arrival;
  arrival.arrival = bytes.get();
  arrival.to = to;
  calls_.push_back(arrival);
}

void Replay::AddProgram(const BoundProgram& program, uint32_t micro_batches) {
  const auto receive = [&](const Instruction& source, const Transfer& transfer) {
    if (source.kind() != Instruction::RECV || source.micro_batch() >= micro_batches) return;
    const proto::Edge& edge = program.program->edges(static_cast<int>(source.edge()));
    const proto::StageProgram& stage = program.program->stages(static_cast<int>(edge.to_stage()));
    AddArrival(TensorSpec::Of(stage.values(static_cast<int>(edge.to_value())).type()), transfer.memory);
  };
  for (const BoundInstruction& instruction : program.instructions) {
    const Instruction& source = *instruction.source;
    for (int t = 0; t < static_cast<int>(instruction.transfers.size()); ++t) {
      receive(source.kind() == Instruction::GROUP ? source.group(t) : source, instruction.transfers[t]);
    }
    if (source.micro_batch() >= micro_batches) continue;
    for (const BoundLoad& load : instruction.loads) {
      TensorSpec spec = {load.input->type().dtype(), {1}};
      spec.dims[0] = static_cast<int64_t>(load.bytes / static_cast<uint64_t>(SizeOf(spec.dtype)));
      AddArrival(spec, load.memory);
    }
    if (instruction.run == nullptr) continue;
    for (const BoundCall& call : instruction.run->calls) {
      TimedCall timed;
      timed.kernel = call.kernel;
      timed.args = call.args;
      timed.args.key = {kSeed, 0, source.micro_batch()};
      timed.index = table_.IndexOf(call.source);
      needs_[timed.index] = call.kernel->needs();
      calls_.push_back(timed);
    }
  }
}

void Replay::AddPacks() {
  for (const BoundPack& pack : binding_.packs) {
    TimedCall timed;
    timed.kernel = pack.kernel;
    timed.args.inputs = pack.inputs.data();
    timed.args.outputs = pack.outputs.data();
    timed.args.scratch = pack.scratch;
    timed.packed = pack.packed;
    timed.index = table_.PackingOf(pack.source);
    needs_[timed.index] = pack.kernel->needs();
    calls_.push_back(timed);
  }
}

absl::StatusOr<const Kernel*> Replay::KernelFor(int index) {
  MR_ASSIGN_OR_RETURN(const Kernel* kernel, binding_.kernels.Get(table_.calls()[index].desc));
  needs_[index] = kernel->needs();
  return kernel;
}

absl::Status Replay::AddOptimizer() {
  if (plan_.norm_block_elements() == 0) return absl::FailedPreconditionError("the plan's norm_block_elements is 0");
  // Learning rate 0: every number is computed, no weight changes.
  const double hyper[kHyperElements] = {0, 1e-6, 0, 1, 0.9, 0.95, 1e-8, 0, 0.9, 0};
  uint64_t most_blocks = 1, most_scratch = 0;
  const size_t first = calls_.size();
  for (const proto::Bucket& bucket : plan_.buckets()) {
    if (static_cast<int>(bucket.owner()) != rank_) continue;
    for (int i = 0; i < bucket.parameters_size(); ++i) {
      const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(bucket.parameters(i)));
      const proto::ParameterPlace& place = parameter.places(0);
      if (place.gradients().empty()) continue;
      const OpDesc sums = SquaredSumsOp(parameter, plan_.norm_block_elements());
      const OpDesc step = OptimizerOp(parameter, plan_.optimizer());
      const uint64_t bytes = static_cast<uint64_t>(GradientSpec(parameter).bytes());
      MR_ASSIGN_OR_RETURN(char* gradient, arena_.At(place.gradients(0).offset(), bytes, parameter.name()));
      MR_ASSIGN_OR_RETURN(char* weight, arena_.At(place.weight_offset(), 0, parameter.name()));
      std::vector<void*> operands = {weight, gradient};
      for (uint64_t offset : bucket.states(i).offsets()) {
        MR_ASSIGN_OR_RETURN(char* state, arena_.At(offset, bytes, parameter.name()));
        operands.push_back(state);
      }
      if (step.op.empty() || operands.size() != step.outputs.size()) {
        return absl::FailedPreconditionError(absl::StrCat("parameter ", parameter.name(),
                                                          ": its optimizer state is not "
                                                          "that of optimizer '",
                                                          plan_.optimizer(), "'"));
      }
      int uses = 0;
      for (const proto::ParameterPlace& other : parameter.places()) uses += other.gradients_size();
      const auto add = [&](const OpDesc& desc, std::vector<void*> in, std::vector<void*> out) -> absl::Status {
        TimedCall timed;
        timed.index = table_.Find(desc.Key());
        MR_ASSIGN_OR_RETURN(timed.kernel, KernelFor(timed.index));
        most_scratch = std::max(most_scratch, timed.kernel->needs().scratch_bytes);
        pointers_.push_back(std::move(in));
        timed.args.inputs = pointers_.back().data();
        pointers_.push_back(std::move(out));
        timed.args.outputs = pointers_.back().data();
        calls_.push_back(timed);
        return absl::OkStatus();
      };
      // Another accumulator has the size of a state.
      if (uses > 1) MR_RETURN_IF_ERROR(add(AccumulateOp(parameter), {operands[2]}, {gradient}));
      most_blocks = std::max(most_blocks, static_cast<uint64_t>(sums.outputs[0].elements()));
      MR_RETURN_IF_ERROR(add(sums, {gradient}, {nullptr}));  // null: the side buffer, below
      MR_RETURN_IF_ERROR(add(step, {nullptr}, operands));
    }
  }
  const uint64_t hyper_bytes = RoundUp(sizeof(hyper)), sums_bytes = RoundUp(most_blocks * sizeof(double));
  MR_ASSIGN_OR_RETURN(side_, arena_.device()->Allocate(hyper_bytes + sums_bytes + RoundUp(most_scratch + 1)));
  char* const side = static_cast<char*>(side_.memory());
  for (size_t c = first; c < calls_.size(); ++c) {
    calls_[c].args.scratch = side + hyper_bytes + sums_bytes;
    void** const input = const_cast<void**>(calls_[c].args.inputs);
    void** const output = const_cast<void**>(calls_[c].args.outputs);
    if (input[0] == nullptr) input[0] = side;
    if (output[0] == nullptr) output[0] = side + hyper_bytes;
  }
  return stream_->CopyIn(side, hyper, sizeof(hyper));
}

absl::Status Replay::Run(const TimedCall& call) const {
  absl::Status status = call.packed != nullptr ? call.kernel->Pack(*stream_, call.args, call.packed)
                                               : call.kernel->Run(*stream_, call.args);
  if (status.ok()) status = stream_->Synchronize();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("rank ", rank_, ", ", table_.calls()[call.index].key, ": ", status.message()));
}

absl::Status Replay::Round(CallTimes* times) {
  for (const TimedCall& call : calls_) {
    if (call.arrival != nullptr) {
      MR_RETURN_IF_ERROR(stream_->CopyIn(call.to, call.arrival->data(), call.arrival->size()));
      continue;
    }
    const int64_t processor_start = processor_time_ ? ProcessorNow() : 0;
    const int64_t start = TraceRing::Now();
    MR_RETURN_IF_ERROR(Run(call));
    int64_t spent = TraceRing::Now() - start;
    if (processor_time_ && spent > kLongCall) spent = std::min(spent, ProcessorNow() - processor_start);
    if (times != nullptr) (*times)[call.index].push_back(1e-9 * static_cast<double>(spent));
  }
  return absl::OkStatus();
}

}  // namespace millrace
