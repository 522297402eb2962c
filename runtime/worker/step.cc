#include "runtime/worker/step.h"

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/optimizer/clipping.h"
#include "runtime/optimizer/exact_sum.h"
#include "runtime/plan/op_descs.h"
#include "runtime/trace/ring.h"

namespace millrace {
namespace {

// What every rank tells every other in NORM.
struct NormShare {
  unsigned char sum_of_squares[ExactSum::kBytes];
  double loss_sum;
  double loss_count;
};

}  // namespace

absl::Status StepRunner::Exchange(const std::vector<Transfer>& transfers, const What& what) {
  if (transfers.empty()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(Communicator::Ticket ticket, communicator_->Post(transfers));
  const int64_t start = TraceRing::Now();
  absl::Status status = communicator_->Wait(ticket, what);
  waited_ += TraceRing::Now() - start;
  return status;
}

absl::Status StepRunner::RunKernel(Stream& stream, const Kernel& kernel, void* const* inputs, void* const* outputs) {
  KernelArgs args;
  args.inputs = inputs;
  args.outputs = outputs;
  args.scratch = scratch_;
  return kernel.Run(stream, args);
}

absl::Status StepRunner::Reduce(Stream& stream, int bucket, const What& what) {
  BoundBucket& bound = buckets_[bucket];
  MR_RETURN_IF_ERROR(stream.Synchronize());
  MR_RETURN_IF_ERROR(Exchange(bound.reduce, what));
  for (Owned& owned : bound.owned) {
    void* const first = owned.summands.front();
    for (size_t i = 1; i < owned.summands.size(); ++i) {
      MR_RETURN_IF_ERROR(RunKernel(stream, *owned.accumulate, &owned.summands[i], &first));
    }
    if (first != owned.sum) MR_RETURN_IF_ERROR(stream.Copy(owned.sum, first, owned.gradient.bytes()));
  }
  for (const Memory& memory : bound.cleared) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
  return bound.replicas.has_value() ? AddReplicas(stream, *bound.replicas, what) : absl::OkStatus();
}

// Places first, then replicas: the order of the sum (docs/replicas.md).
absl::Status StepRunner::AddReplicas(Stream& stream, const ReplicaBucket& replicas, const What& what) {
  MR_RETURN_IF_ERROR(stream.Synchronize());
  MR_RETURN_IF_ERROR(Exchange(replicas.scatter(), what));
  MR_RETURN_IF_ERROR(replicas.Sum([&](const Kernel& kernel, void* const* inputs, void* const* outputs) {
    return RunKernel(stream, kernel, inputs, outputs);
  }));
  if (plan_.shard_optimizer() > 0) return absl::OkStatus();
  MR_RETURN_IF_ERROR(stream.Synchronize());
  return Exchange(replicas.gather_gradients(), what);
}

absl::Status StepRunner::Norm(Stream& stream, const StepSettings& settings, bool check_finite, StepResult* result) {
  Device& device = *arena_.device();
  ExactSum sum;
  for (BoundBucket& bucket : buckets_) {
    for (Owned& owned : bucket.owned) {
      if (owned.normed.elements > 0) {
        void* const gradient = owned.sum + owned.BytesOf(owned.normed.first);
        void* const sums = sums_;
        MR_RETURN_IF_ERROR(RunKernel(stream, *owned.normed.kernel, &gradient, &sums));
        MR_RETURN_IF_ERROR(stream.Synchronize());
        MR_RETURN_IF_ERROR(device.CopyOut(host_sums_.data(), sums_, owned.blocks * sizeof(double)));
        for (uint64_t b = 0; b < owned.blocks; ++b) sum.Add(host_sums_[b]);
      }
      if (!keep_gradients_) continue;
      owned.kept.resize(owned.gradient.bytes());
      MR_RETURN_IF_ERROR(device.CopyOut(owned.kept.data(), owned.sum, owned.kept.size()));
    }
  }
  NormShare mine;
  sum.Write(mine.sum_of_squares);
  mine.loss_sum = result->loss_sum;
  mine.loss_count = result->loss_count;
  gathered_.resize(sizeof(NormShare) * communicator_->size());
  const int64_t start = TraceRing::Now();
  MR_RETURN_IF_ERROR(communicator_->AllGather(&mine, gathered_.data(), sizeof(mine)));
  waited_ += TraceRing::Now() - start;

  ExactSum total;
  result->loss_sum = result->loss_count = 0;
  for (int r = 0; r < communicator_->size(); ++r) {
    NormShare share;
    std::memcpy(&share, gathered_.data() + r * sizeof(share), sizeof(share));
    total.Merge(share.sum_of_squares);
    result->loss_sum += share.loss_sum;
    result->loss_count += share.loss_count;
  }
  const double count = result->loss_count;
  // A step in which every label is ignored has no gradient: there is nothing to learn and nothing to divide by.
  result->gradient_norm = count > 0 ? GradientNorm(total.ToDouble(), count) : 0;
  result->skipped = !(count > 0) || (check_finite && !std::isfinite(result->gradient_norm));
  const double scale = result->skipped ? 0 : ClipCoefficient(settings.clip_norm, result->gradient_norm) / count;
  const double hyper[] = {settings.learning_rate,
                          scale,
                          result->skipped ? 1.0 : 0.0,
                          static_cast<double>(settings.optimizer_step),
                          settings.beta1,
                          settings.beta2,
                          settings.epsilon,
                          settings.weight_decay,
                          settings.momentum,
                          settings.nesterov ? 1.0 : 0.0};
  return device.CopyIn(hyper_, hyper, sizeof(hyper));
}

absl::Status StepRunner::Step(Stream& stream, int bucket) {
  void* const hyper = hyper_;
  for (Owned& owned : buckets_[bucket].owned) {
    if (owned.stepped.elements == 0) continue;
    MR_RETURN_IF_ERROR(RunKernel(stream, *owned.stepped.kernel, &hyper, owned.outputs.data()));
  }
  for (const Memory& memory : buckets_[bucket].others) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
  return absl::OkStatus();
}

absl::Status StepRunner::Gather(Stream& stream, int bucket, const What& what) {
  const BoundBucket& bound = buckets_[bucket];
  MR_RETURN_IF_ERROR(stream.Synchronize());
  if (bound.replicas.has_value() && plan_.shard_optimizer() > 0) {
    MR_RETURN_IF_ERROR(Exchange(bound.replicas->gather_weights(), what));
  }
  return Exchange(bound.gather, what);
}

const StepRunner::Owned* StepRunner::FindOwned(int parameter) const {
  for (const BoundBucket& bucket : buckets_) {
    for (const Owned& owned : bucket.owned) {
      if (owned.parameter == parameter) return &owned;
    }
  }
  return nullptr;
}

absl::Status StepRunner::ReadGradient(int parameter, void* memory, uint64_t bytes) const {
  const Owned* owned = FindOwned(parameter);
  if (owned == nullptr) {
    return absl::NotFoundError(absl::StrCat("rank ", rank_, " does not own parameter ", parameter));
  }
  if (owned->kept.empty() && owned->gradient.bytes() > 0) {
    return absl::FailedPreconditionError("no gradients were kept: call KeepGradients before TrainStep");
  }
  if (bytes != owned->kept.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the gradient of parameter ", parameter, " has ", owned->kept.size(),
                                                   " bytes; ", bytes, " were asked for"));
  }
  // Beyond the shard stands this replica's own sum.
  const bool whole = plan_.shard_optimizer() == 0;
  const uint64_t first = whole ? 0 : owned->BytesOf(owned->normed.first);
  std::memcpy(static_cast<char*>(memory) + first, owned->kept.data() + first,
              whole ? bytes : owned->BytesOf(owned->normed.elements));
  return absl::OkStatus();
}

absl::Status StepRunner::ZeroState(Stream& stream) {
  for (BoundBucket& bucket : buckets_) {
    for (Owned& owned : bucket.owned) {
      MR_RETURN_IF_ERROR(stream.Zero(owned.sum, owned.gradient.bytes()));
      for (size_t i = 2; i < owned.outputs.size(); ++i) {
        MR_RETURN_IF_ERROR(stream.Zero(owned.outputs[i], owned.BytesOf(owned.stepped.elements)));
      }
    }
    for (const Memory& memory : bucket.cleared) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
  }
  return stream.Synchronize();
}

absl::optional<StepRunner::StatePart> StepRunner::State(int parameter, int k) const {
  const Owned* owned = FindOwned(parameter);
  if (owned == nullptr || k < 0 || k >= StatesOf(*owned)) return absl::nullopt;
  if (owned->stepped.elements == 0) return StatePart{};
  return StatePart{owned->outputs[k + 2], owned->BytesOf(owned->stepped.first),
                   owned->BytesOf(owned->stepped.elements)};
}

// As the optimizer's kernel counts them, after hyper: weight, gradient, states.
int StepRunner::StatesOf(const Owned& owned) const {
  return static_cast<int>(OptimizerOp(plan_.parameters(owned.parameter), plan_.optimizer()).outputs.size()) - 2;
}

uint64_t StepRunner::StateBytes(int parameter) const {
  const Owned* owned = FindOwned(parameter);
  return owned == nullptr ? 0 : static_cast<uint64_t>(owned->gradient.bytes());
}

}  // namespace millrace
