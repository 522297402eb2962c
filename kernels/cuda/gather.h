// Gather: rows of a table, of any element type.
#ifndef KERNELS_CUDA_GATHER_H_
#define KERNELS_CUDA_GATHER_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"

namespace millrace::cuda {

struct GatherCall {
  int64_t rows = 0, row_bytes = 0;  // of the table
  int64_t count = 0;                // of the indices
  const void* table = nullptr;
  const int64_t* indices = nullptr;
  void* y = nullptr;
};
Code LaunchGather(const GatherCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_GATHER_H_
