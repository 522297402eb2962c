#include "runtime/worker/step_kernels.h"

#include "proto/status_macros.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"

namespace millrace {
absl::StatusOr<const Kernel*> StepKernels::Get(const OpDesc& desc) {
  MR_ASSIGN_OR_RETURN(const Kernel* kernel, kernels_->Get(desc));
  most_scratch_ = std::max(most_scratch_, kernel->needs().scratch_bytes);
  return kernel;
}

absl::Status StepKernels::Allocate(Device* device) {
  const uint64_t hyper = RoundUp(kHyperElements * sizeof(double));
  const uint64_t sums = RoundUp(std::max<uint64_t>(most_blocks_, 1) * sizeof(double));
  MR_ASSIGN_OR_RETURN(side_, device->Allocate(hyper + sums + RoundUp(most_scratch_ + 1)));
  hyper_ = static_cast<char*>(side_.memory());
  sums_ = hyper_ + hyper;
  scratch_ = sums_ + sums;
  return absl::OkStatus();
}

absl::Status StepKernels::Run(Stream& stream, const Kernel& kernel, void* const* inputs, void* const* outputs) const {
  KernelArgs args;
  args.inputs = inputs;
  args.outputs = outputs;
  args.scratch = scratch_;
  return kernel.Run(stream, args);
}

}  // namespace millrace
