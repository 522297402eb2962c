#include "runtime/worker/worker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/bind.h"
#include "runtime/worker/initialize.h"
#include "runtime/worker/packs.h"
#include "runtime/worker/poison.h"
#include "runtime/worker/program_runner.h"
#include "runtime/worker/step.h"

namespace millrace {
namespace {

absl::Status CheckBytes(absl::string_view what, uint64_t has, uint64_t asked) {
  if (has == asked) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has ", has, " bytes; the caller gives room for ", asked));
}

class PlanWorker : public Worker {
 public:
  PlanWorker(const proto::ExecutionPlan& plan, const WorkerOptions& options, Arena arena,
             std::unique_ptr<Stream> stream)
      : plan_(plan),
        options_(options),
        arena_(std::move(arena)),
        stream_(std::move(stream)),
        binding_(options.device) {}

  absl::Status Bind() {
    MR_RETURN_IF_ERROR(BindPrograms(plan_, options_.rank, arena_, &binding_));
    MR_ASSIGN_OR_RETURN(step_,
                        StepRunner::Make(plan_, options_.rank, arena_, &binding_.kernels, options_.communicator));
    MR_ASSIGN_OR_RETURN(runner_, ProgramRunner::Make(plan_, options_, arena_, stream_.get(), &binding_, step_.get()));
    MR_RETURN_IF_ERROR(step_->Allocate());
    MR_RETURN_IF_ERROR(options_.communicator->Register(arena_.base(), arena_.bytes()));
    registered_ = true;
    if (options_.device->memory_is_hosts()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(runner_->WarmUp());
    MR_RETURN_IF_ERROR(stream_->Zero(arena_.base(), arena_.bytes()));
    return stream_->Synchronize();
  }

  ~PlanWorker() override {
    if (registered_) options_.communicator->Unregister();
  }

  absl::Status InitializeParameters() override {
    for (int p = 0; p < plan_.parameters_size(); ++p) {
      const absl::StatusOr<StepRunner::TensorPart> weight = step_->Weight(p);
      if (absl::IsNotFound(weight.status())) continue;
      MR_RETURN_IF_ERROR(weight.status());
      if (weight->bytes == 0) continue;
      MR_ASSIGN_OR_RETURN(const std::string values, InitialValues(plan_.parameters(p), options_.seed));
      MR_RETURN_IF_ERROR(stream_->CopyIn(weight->at, values.data() + weight->first, weight->bytes));
      step_->Wrote(p, -1);
    }
    ++binding_.weights_version;
    return step_->ZeroState(*stream_);
  }

  absl::Status PrepareWeights() override {
    ++binding_.weights_version;
    UnpoisonMemory(arena_.base(), arena_.bytes());
    MR_RETURN_IF_ERROR(step_->TakeMasters(*stream_));
    for (const auto& program : binding_.programs) MR_RETURN_IF_ERROR(PackStale(*stream_, *program, &binding_));
    return stream_->Synchronize();
  }

  absl::StatusOr<StepResult> TrainStep(const StepSettings& settings) override {
    MR_ASSIGN_OR_RETURN(const BoundProgram* program, Find("train"));
    return runner_->Run(*program, settings);
  }

  absl::StatusOr<StepResult> RunForward(absl::string_view name, uint64_t step) override {
    if (name == "train") return absl::InvalidArgumentError("program train is no forward program; use TrainStep");
    MR_ASSIGN_OR_RETURN(const BoundProgram* program, Find(name));
    StepSettings settings;
    settings.step = step;
    return runner_->Run(*program, settings);
  }

  absl::Status ReadOutput(absl::string_view name, absl::string_view output, void* memory, uint64_t bytes) override {
    MR_ASSIGN_OR_RETURN(const BoundProgram* program, Find(name));
    for (const proto::ProgramOutput& candidate : program->program->outputs()) {
      if (absl::string_view(candidate.name()) != output) continue;
      if (static_cast<int>(candidate.rank()) != options_.rank) {
        return absl::FailedPreconditionError(absl::StrCat("output ", output, " of program ", name, " is on rank ",
                                                          candidate.rank(), ", not on rank ", options_.rank));
      }
      const proto::Value& value = program->program->stages(candidate.stage()).values(candidate.value());
      MR_RETURN_IF_ERROR(CheckBytes(output, TensorSpec::Of(value.type()).bytes(), bytes));
      MR_ASSIGN_OR_RETURN(const char* from, arena_.At(AddressOf(*program->rank, value, 0), bytes, output));
      return stream_->CopyOut(memory, from, bytes);
    }
    return absl::NotFoundError(absl::StrCat("program ", name, " has no output '", output, "'"));
  }

  absl::Status ReadParameter(int parameter, void* memory, uint64_t bytes) const override {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, Weight(parameter, bytes));
    return stream_->CopyOut(static_cast<char*>(memory) + part.first, part.at, part.bytes);
  }

  absl::Status WriteParameter(int parameter, const void* memory, uint64_t bytes) override {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, Weight(parameter, bytes));
    ++binding_.weights_version;
    step_->Wrote(parameter, -1);
    return stream_->CopyIn(part.at, static_cast<const char*>(memory) + part.first, part.bytes);
  }

  absl::Status ReadState(int parameter, int k, void* memory, uint64_t bytes) const override {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, State(parameter, k, bytes));
    return stream_->CopyOut(static_cast<char*>(memory) + part.first, part.at, part.bytes);
  }

  absl::Status WriteState(int parameter, int k, const void* memory, uint64_t bytes) override {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, State(parameter, k, bytes));
    step_->Wrote(parameter, k);
    return stream_->CopyIn(part.at, static_cast<const char*>(memory) + part.first, part.bytes);
  }

  absl::Status ReadRange(int parameter, int k, uint64_t first, void* memory, uint64_t bytes) const override {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, k < 0 ? Weight(parameter) : State(parameter, k));
    if (first < part.first || bytes > part.bytes || first - part.first > part.bytes - bytes) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", options_.rank, " keeps bytes ", part.first, " to ",
                                                     part.first + part.bytes, " of parameter ", parameter, "; ", first,
                                                     " to ", first + bytes, " were asked for"));
    }
    return stream_->CopyOut(memory, part.at + (first - part.first), bytes);
  }

  void KeepGradients(bool keep) override { step_->KeepGradients(keep); }

  absl::Status ReadGradient(int parameter, void* memory, uint64_t bytes) const override {
    return step_->ReadGradient(parameter, memory, bytes);
  }

  absl::Status AppendSpans(double epoch_seconds, proto::StepTrace* trace) const override {
    return runner_->AppendSpans(epoch_seconds, trace);
  }

  uint64_t arena_bytes() const override { return arena_.bytes(); }

 private:
  absl::StatusOr<const BoundProgram*> Find(absl::string_view name) const {
    for (const auto& program : binding_.programs) {
      if (absl::string_view(program->program->name()) == name) return program.get();
    }
    return absl::NotFoundError(absl::StrCat("the plan has no program '", name, "'"));
  }

  // This rank's copy, or its part of one. NOT_FOUND when it has none.
  absl::StatusOr<StepRunner::TensorPart> Weight(int parameter) const {
    if (parameter < 0 || parameter >= plan_.parameters_size()) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", parameter, " of ", plan_.parameters_size()));
    }
    return step_->Weight(parameter);
  }
  absl::StatusOr<StepRunner::TensorPart> State(int parameter, int k) const {
    const absl::optional<StepRunner::TensorPart> state = step_->State(parameter, k);
    if (state.has_value()) return *state;
    return absl::NotFoundError(
        absl::StrCat("rank ", options_.rank, " keeps no optimizer state ", k, " of parameter ", parameter));
  }

  // The same, where `bytes` is the size of the whole.
  absl::StatusOr<StepRunner::TensorPart> Weight(int parameter, uint64_t bytes) const {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart part, Weight(parameter));
    const proto::PlannedParameter& planned = plan_.parameters(parameter);
    MR_RETURN_IF_ERROR(
        CheckBytes(absl::StrCat("parameter ", planned.name()), TensorSpec::Of(planned.type()).bytes(), bytes));
    return part;
  }

  absl::StatusOr<StepRunner::TensorPart> State(int parameter, int k, uint64_t bytes) const {
    MR_ASSIGN_OR_RETURN(const StepRunner::TensorPart state, State(parameter, k));
    MR_RETURN_IF_ERROR(CheckBytes(absl::StrCat("optimizer state ", k, " of parameter ", parameter),
                                  step_->StateBytes(parameter), bytes));
    return state;
  }

  const proto::ExecutionPlan& plan_;
  const WorkerOptions options_;
  Arena arena_;
  std::unique_ptr<Stream> stream_;
  Binding binding_;
  std::unique_ptr<StepRunner> step_;
  std::unique_ptr<ProgramRunner> runner_;
  bool registered_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(const proto::ExecutionPlan& plan, const WorkerOptions& options) {
  if (options.device == nullptr || options.communicator == nullptr) {
    return absl::InvalidArgumentError("WorkerOptions needs a device and a communicator");
  }
  if (options.rank < 0 || options.rank >= plan.ranks_size() || options.rank != options.communicator->rank() ||
      options.communicator->size() != plan.ranks_size()) {
    return absl::InvalidArgumentError(absl::StrCat("worker of rank ", options.rank, ": the plan has ",
                                                   plan.ranks_size(), " ranks, its communicator is rank ",
                                                   options.communicator->rank(), " of ", options.communicator->size()));
  }
  MR_ASSIGN_OR_RETURN(Arena arena, Arena::Make(options.device, plan.ranks(options.rank).arena_bytes()));
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Stream> stream, options.device->NewStream());
  auto worker = std::make_unique<PlanWorker>(plan, options, std::move(arena), std::move(stream));
  MR_RETURN_IF_ERROR(worker->Bind());
  return worker;
}

}  // namespace millrace
