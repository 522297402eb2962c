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

uint64_t StepKernels::TakeSums(uint64_t blocks) {
  const uint64_t offset = sums_bytes_;
  sums_bytes_ += RoundUp(blocks * sizeof(double));
  return offset;
}

absl::Status StepKernels::Allocate(Device* device) {
  const uint64_t hyper = RoundUp(kHyperElements * sizeof(double));
  MR_ASSIGN_OR_RETURN(side_, device->Allocate(hyper + sums_bytes_ + RoundUp(most_scratch_ + 1)));
  hyper_ = static_cast<char*>(side_.memory());
  sums_ = hyper_ + hyper;
  scratch_ = sums_ + sums_bytes_;
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
