// From the dims of a reduction's input and output to the walks that its kernels take.
#ifndef KERNELS_CUDA_REDUCTION_OF_H_
#define KERNELS_CUDA_REDUCTION_OF_H_

#include <cstdint>
#include <vector>

#include "kernels/cuda/reduce.h"
#include "kernels/cuda/walk_axes.h"
#include "proto/status_macros.h"

namespace millrace::cuda {

// `to` broadcasts to `from`; summed over are the dimensions that this repeats. UNIMPLEMENTED as WalkOf.
inline absl::StatusOr<Reduction> ReductionOf(const std::vector<int64_t>& from, const std::vector<int64_t>& to,
                                             const OpDesc& desc) {
  const std::vector<int64_t> a = DenseStrides(from), b = BroadcastStrides(to, from);
  Axes axes, kept, summed;
  for (size_t i = 0; i < from.size(); ++i) axes.push_back({from[i], a[i], b[i]});
  axes = Collapse(axes);
  for (const Axis& axis : axes) (axis.b != 0 ? kept : summed).push_back(axis);
  Reduction reduction;
  MR_ASSIGN_OR_RETURN(reduction.kept, WalkOf(kept, desc));
  MR_ASSIGN_OR_RETURN(reduction.summed, WalkOf(summed, desc));
  reduction.within_rows = axes.back().b == 0;
  return reduction;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_REDUCTION_OF_H_
