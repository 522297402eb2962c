// From kernels/axes.h to the form that kernels take.
#ifndef KERNELS_CUDA_WALK_AXES_H_
#define KERNELS_CUDA_WALK_AXES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/axes.h"
#include "kernels/cuda/walk.h"
#include "kernels/op_desc.h"

namespace millrace::cuda {

// Axes are collapsed first. UNIMPLEMENTED, naming the desc, when more than kMostAxes remain.
inline absl::StatusOr<Walk> WalkOf(const Axes& axes, const OpDesc& desc) {
  const Axes few = Collapse(axes);
  if (few.size() > kMostAxes) {
    return absl::UnimplementedError(absl::StrCat("the cuda backend walks at most ", kMostAxes, " axes; there are ",
                                                 few.size(), " in ", desc.Key()));
  }
  Walk walk;
  walk.axes = static_cast<int>(few.size());
  for (int i = 0; i < walk.axes; ++i) {
    walk.size[i] = few[i].size;
    walk.a[i] = few[i].a;
    walk.b[i] = few[i].b;
  }
  return walk;
}

// The walk over `to` of two tensors that broadcast to it.
inline absl::StatusOr<Walk> BroadcastWalk(const std::vector<int64_t>& a, const std::vector<int64_t>& b,
                                          const std::vector<int64_t>& to, const OpDesc& desc) {
  const std::vector<int64_t> of_a = BroadcastStrides(a, to), of_b = BroadcastStrides(b, to);
  Axes axes;
  for (size_t i = 0; i < to.size(); ++i) axes.push_back({to[i], of_a[i], of_b[i]});
  return WalkOf(axes, desc);
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_WALK_AXES_H_
