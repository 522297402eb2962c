// ReduceSum, ReduceMean, ReduceSumTo: sums over any axes.
#ifndef KERNELS_CUDA_REDUCE_H_
#define KERNELS_CUDA_REDUCE_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/walk.h"

namespace millrace::cuda {

// Which elements of x make which output. Outputs and the terms of one output are counted row-major.
struct Reduction {
  Walk kept, summed;  // over the outputs, over the terms of each; a: strides of x
  // The innermost axis of x is summed over: the terms of an output lie side by side. Else outputs do.
  bool within_rows = false;

  int64_t outputs() const { return kept.elements(); }
  int64_t terms() const { return summed.elements(); }
  // Terms that one sum covers; longer ones are sums of such sums. By the shape alone, as the order of additions is.
  int64_t terms_per_sum() const { return within_rows ? int64_t{1} << 15 : int64_t{1} << 9; }
  int64_t sums_per_output() const { return std::max<int64_t>(1, CeilDiv(terms(), terms_per_sum())); }
  int64_t scratch_bytes() const {
    return sums_per_output() == 1 ? 0 : static_cast<int64_t>(sizeof(double)) * sums_per_output() * outputs();
  }
};

struct ReduceCall {
  Element type;  // of x: f32, bf16, f16 or f64
  Element out;   // of y: likewise
  Reduction reduction;
  double factor = 1;        // of the sums
  bool accumulate = false;  // y += instead of y =
  const void* x = nullptr;
  void* y = nullptr;
  double* partial = nullptr;  // Reduction::scratch_bytes
};
Code LaunchReduce(const ReduceCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_REDUCE_H_
