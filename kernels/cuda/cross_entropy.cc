// SoftmaxCrossEntropyLoss and its gradient, for graphs that keep the scores (LinearCrossEntropy does not).
//
// A label that is neither a class nor ignored is an error of the data, to be refused before the step. Nothing can be
// refused from here: the loss becomes NaN, which the step's checks find, and no memory is read that is not there.
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/softmax.h"
#include "kernels/cuda/softmax_chunk.h"

namespace millrace::cuda {
namespace {

// Rows' losses to scratch, then their sum.
class CrossEntropyKernel : public CudaKernel {
 public:
  CrossEntropyKernel(const SoftmaxChunkCall& call, bool count)
      : CudaKernel("SoftmaxCrossEntropyLoss", {.scratch_bytes = call.rows * sizeof(double)}),
        call_(call),
        count_(count) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SoftmaxChunkCall call = call_;
    call.scores = args.inputs[0];  // only read, as no gradient is asked for
    call.labels = In<int64_t>(args, 1);
    call.losses = static_cast<double*>(args.scratch);
    MR_RETURN_IF_ERROR(Launched(stream, LaunchSoftmaxChunk(call, stream.handle())));
    SumLossesCall sum = {.rows = call.rows, .losses = call.losses, .labels = call.labels, .ignore = call.ignore};
    sum.loss = Out<double>(args, 0);
    if (count_) sum.count = Out<double>(args, 1);
    return Launched(stream, LaunchSumLosses(sum, stream.handle()));
  }

 private:
  const SoftmaxChunkCall call_;
  const bool count_;
};

class CrossEntropyGradKernel : public CudaKernel {
 public:
  explicit CrossEntropyGradKernel(const SoftmaxCall& call)
      : CudaKernel("SoftmaxCrossEntropyLossGrad", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SoftmaxCall call = call_;
    call.x = In(args, 0);
    call.labels = In<int64_t>(args, 1);
    call.y = Out(args, 0);
    return Launched(stream, LaunchSoftmax(call, stream.handle()));
  }

 private:
  const SoftmaxCall call_;
};

}  // namespace

KernelOr NewCrossEntropy(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));  // the loss is f64
  const TensorSpec& scores = desc.input(0);
  const int64_t ignore = desc.attributes.Int("ignore_index", -100);
  if (desc.op == "SoftmaxCrossEntropyLossGrad") {
    return std::make_unique<CrossEntropyGradKernel>(
        SoftmaxCall{.type = ElementOf(scores), .rows = scores.rows(), .columns = scores.columns(), .ignore = ignore});
  }
  SoftmaxChunkCall call = {.type = ElementOf(scores), .rows = desc.input(1).elements(), .classes = scores.columns()};
  call.ld = call.classes;
  call.ignore = ignore;
  return std::make_unique<CrossEntropyKernel>(call, desc.output(1).present());
}

}  // namespace millrace::cuda
