// Attention's forward pass by cuDNN's fused engine.
#ifndef KERNELS_CUDA_CUDNN_ATTENTION_H_
#define KERNELS_CUDA_CUDNN_ATTENTION_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/cudnn_graph.h"
#include "kernels/cuda/fused_attention.h"

namespace millrace::cuda {

// The tensors that a run gives memory for; 0: not in the graph. lse is there when asked for, `nothing`, minus infinity,
// when causal.
struct CudnnForward {
  CudnnGraph::Id q = 0, k = 0, v = 0, y = 0, lse = 0, scale = 0, nothing = 0;
};
CudnnForward DescribeForward(const AttentionShape& shape, bool has_lse, CudnnGraph* into);

// For the device of `target`. Loads the library: UNAVAILABLE. Its kernels live no longer than it.
absl::StatusOr<std::shared_ptr<AttentionLibrary>> MakeCudnnAttention(Target target);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDNN_ATTENTION_H_
