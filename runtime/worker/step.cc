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

// The host waits once for the device, however many parameters there are.
absl::Status StepRunner::SumSquares(Stream& stream, ExactSum* sum) {
  for (auto& bucket : buckets_) {
    for (Owned& owned : bucket->owned) {
      if (owned.normed.elements == 0) continue;
      void* const gradient = owned.normed.gradient;
      void* const sums = kernels_.sums() + owned.sums;
      MR_RETURN_IF_ERROR(kernels_.Run(stream, *owned.normed.kernel, &gradient, &sums));
    }
  }
  MR_RETURN_IF_ERROR(stream.CopyOut(host_sums_.data(), kernels_.sums(), kernels_.sums_bytes()));
  for (const auto& bucket : buckets_) {
    for (const Owned& owned : bucket->owned) {
      if (owned.normed.elements == 0) continue;
      const double* const sums = &host_sums_[owned.sums / sizeof(double)];
      for (uint64_t b = 0; b < owned.blocks; ++b) sum->Add(sums[b]);
    }
  }
  return absl::OkStatus();
}

absl::Status StepRunner::CopyGradients(Stream& stream) {
  kept_ = true;
  const bool whole = level() == 0;
  for (auto& bucket : buckets_) {
    for (Owned& owned : bucket->owned) {
      owned.kept_first = whole ? 0 : owned.BytesOf(owned.normed.first);
      owned.kept.resize(whole ? owned.gradient_spec.bytes() : owned.BytesOf(owned.normed.elements));
      if (owned.kept.empty()) continue;
      const char* const from = whole ? owned.whole : owned.normed.gradient;
      MR_RETURN_IF_ERROR(stream.CopyOut(owned.kept.data(), from, owned.kept.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status StepRunner::Norm(Stream& stream, const StepSettings& settings, bool check_finite, StepResult* result) {
  ExactSum sum;
  MR_RETURN_IF_ERROR(SumSquares(stream, &sum));
  if (keep_gradients_) MR_RETURN_IF_ERROR(CopyGradients(stream));
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
  return stream.CopyIn(kernels_.hyper(), hyper, sizeof(hyper));
}

absl::Status StepRunner::Step(Stream& stream, int bucket) {
  void* const hyper = kernels_.hyper();
  for (Owned& owned : buckets_[bucket]->owned) {
    if (owned.stepped.elements == 0) continue;
    MR_RETURN_IF_ERROR(kernels_.Run(stream, *owned.stepped.kernel, &hyper, owned.outputs.data()));
  }
  for (const Memory& memory : buckets_[bucket]->others) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
  return absl::OkStatus();
}

const Owned* StepRunner::FindOwned(int parameter) const {
  for (const auto& bucket : buckets_) {
    for (const Owned& owned : bucket->owned) {
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
  const uint64_t whole = owned->gradient_spec.bytes();
  if (!kept_) {
    return absl::FailedPreconditionError("no gradients were kept: call KeepGradients before TrainStep");
  }
  if (bytes != whole) {
    return absl::InvalidArgumentError(
        absl::StrCat("the gradient of parameter ", parameter, " has ", whole, " bytes; ", bytes, " were asked for"));
  }
  std::memcpy(static_cast<char*>(memory) + owned->kept_first, owned->kept.data(), owned->kept.size());
  return absl::OkStatus();
}

void StepRunner::Wrote(int parameter, int state) {
  Owned* const owned = FindOwned(parameter);
  if (owned == nullptr || owned->widen == nullptr) return;
  if (state < 0) owned->weight_written = true;
  if (state == StatesOf(*owned) - 1) owned->master_written = true;
}

absl::Status StepRunner::TakeMasters(Stream& stream) {
  for (auto& bucket : buckets_) {
    for (Owned& owned : bucket->owned) {
      if (owned.widen != nullptr && owned.weight_written && !owned.master_written) {
        MR_RETURN_IF_ERROR(kernels_.Run(stream, *owned.widen, owned.outputs.data(), &owned.outputs.back()));
      }
      owned.weight_written = owned.master_written = false;
    }
  }
  return absl::OkStatus();
}

absl::Status StepRunner::ZeroState(Stream& stream) {
  for (const Memory& memory : zeroed_) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
  for (auto& bucket : buckets_) {
    for (Owned& owned : bucket->owned) {
      for (size_t i = 2; i < owned.outputs.size(); ++i) {
        MR_RETURN_IF_ERROR(stream.Zero(owned.outputs[i], owned.BytesOf(owned.stepped.elements)));
      }
    }
  }
  return stream.Synchronize();
}

absl::optional<StepRunner::TensorPart> StepRunner::State(int parameter, int k) const {
  const Owned* owned = FindOwned(parameter);
  if (owned == nullptr || k < 0 || k >= StatesOf(*owned)) return absl::nullopt;
  if (owned->stepped.elements == 0) return TensorPart{};
  return TensorPart{static_cast<char*>(owned->outputs[k + 2]), owned->BytesOf(owned->stepped.first),
                    owned->BytesOf(owned->stepped.elements)};
}

// As the optimizer's kernel counts them, after hyper: weight, gradient, states.
int StepRunner::StatesOf(const Owned& owned) const {
  return OptimizerStates(plan_.parameters(owned.parameter), plan_.optimizer());
}

uint64_t StepRunner::StateBytes(int parameter) const {
  const Owned* owned = FindOwned(parameter);
  return owned == nullptr ? 0 : static_cast<uint64_t>(owned->gradient_spec.bytes());
}

absl::StatusOr<StepRunner::TensorPart> StepRunner::Weight(int parameter) const {
  const proto::PlannedParameter& planned = plan_.parameters(parameter);
  const std::string what = absl::StrCat("parameter ", planned.name());
  const proto::ParameterPlace* const place = PlaceHere(planned);
  if (place == nullptr) {
    return absl::NotFoundError(absl::StrCat("rank ", rank_, " has no copy of parameter ", planned.name()));
  }
  const BucketMember* const of = chunks_.MemberOf(parameter);
  if (of == nullptr || !DividesParameters(plan_)) {
    const uint64_t bytes = TensorSpec::Of(planned.type()).bytes();
    MR_ASSIGN_OR_RETURN(char* whole, arena_.At(place->weight_offset(), bytes, what));
    return TensorPart{whole, 0, bytes};
  }
  const ShardPiece* const piece = chunks_.PieceOf(*of, place_, replicas_.me());
  if (piece == nullptr) return TensorPart{};
  const uint64_t size = SizeOf(planned.type().dtype());
  MR_ASSIGN_OR_RETURN(char* at, arena_.At(place->weight_offset() + piece->weight_offset, piece->elements * size, what));
  return TensorPart{at, piece->first * size, piece->elements * size};
}

const proto::ParameterPlace* StepRunner::PlaceHere(const proto::PlannedParameter& parameter) const {
  for (const proto::ParameterPlace& place : parameter.places()) {
    if (static_cast<int>(place.rank()) == place_) return &place;
  }
  return nullptr;
}

}  // namespace millrace
