// Communicators of ranks that have GPUs, for the conformance suite.
#ifndef TESTS_GPU_GPU_RANKS_H_
#define TESTS_GPU_GPU_RANKS_H_

#include <memory>
#include <vector>

#include "runtime/comm/communicator.h"

namespace millrace {

using GpuRanks = std::vector<std::unique_ptr<Communicator>>;

// How many GPUs this process sees; 0 without a driver, or in a build without CUDA.
int GpuCount();

// Threads that share the GPUs there are, in turn; copies between them.
GpuRanks MakeGpusInProcess(int size, const CommunicatorOptions& waits);
// Threads with a GPU each, over NCCL. Empty when there are fewer GPUs.
GpuRanks MakeNcclThreads(int size, const CommunicatorOptions& waits);

// One rank of several processes that run the same tests (MILLRACE_GPU_CHECK_RANK, _RANKS and _FOLDER say which), over
// NCCL, with gloo for the host. On the GPU of its number, or the last one there is.
GpuRanks MakeNcclProcess(int size, const CommunicatorOptions& waits);
int GpuProcesses();  // 1 when not started so

}  // namespace millrace

#endif  // TESTS_GPU_GPU_RANKS_H_
