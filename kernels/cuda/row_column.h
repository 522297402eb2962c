// An index over rows of equal length taken apart.
#ifndef KERNELS_CUDA_ROW_COLUMN_H_
#define KERNELS_CUDA_ROW_COLUMN_H_

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

struct RowColumn {
  int64_t row, column;
};

// Index as for PositionAt (walk.h).
template <typename Index>
MR_HOST_DEVICE RowColumn RowColumnOf(int64_t index, int64_t columns) {
  const Index of = static_cast<Index>(index), by = static_cast<Index>(columns), row = of / by;
  return {static_cast<int64_t>(row), static_cast<int64_t>(of - row * by)};
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ROW_COLUMN_H_
