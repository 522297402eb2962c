// A sequence of queued work, recorded once and launched many times for the price of one launch.
//
// Everything about the recorded calls is frozen: addresses, sizes, and what a kernel was told by value, which includes
// the RunKey. So only calls that do not depend on the micro-batch may be recorded for more than one.
#ifndef KERNELS_CUDA_CUDA_GRAPH_H_
#define KERNELS_CUDA_CUDA_GRAPH_H_

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/cuda_stream.h"

namespace millrace::cuda {

// Immutable; may be launched on any stream of its device, one launch at a time.
class CudaGraph : public Recording {
 public:
  // Calls `work`, which queues on `stream` and on nothing else (or joins other streams by events), and keeps what it
  // queued instead of running it. Nothing is kept when `work` fails. Synchronising inside `work` is an error.
  static absl::StatusOr<std::unique_ptr<CudaGraph>> Capture(CudaStream& stream, absl::FunctionRef<absl::Status()> work);
  ~CudaGraph() override;

  absl::Status Launch(CudaStream& stream) const;

 private:
  CudaGraph(Target target, GraphExecHandle exec) : target_(target), exec_(exec) {}

  const Target target_;
  const GraphExecHandle exec_;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_GRAPH_H_
