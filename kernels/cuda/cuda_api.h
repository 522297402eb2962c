// Every call of the CUDA runtime that our host code makes, besides launching kernels: one real implementation
// (real_api.cc), and one in the tests that writes down what it is asked.
//
// The handles are CUDA's own types, declared here, so that nothing but the real implementation needs CUDA's headers.
#ifndef KERNELS_CUDA_CUDA_API_H_
#define KERNELS_CUDA_CUDA_API_H_

#include <cstdint>
#include <string>

#include "kernels/cuda/chip.h"

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;

namespace millrace::cuda {

using StreamHandle = CUstream_st*;        // cudaStream_t
using EventHandle = CUevent_st*;          // cudaEvent_t
using GraphHandle = CUgraph_st*;          // cudaGraph_t
using GraphExecHandle = CUgraphExec_st*;  // cudaGraphExec_t

// A cudaError_t.
using Code = int;
inline constexpr Code kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kInsufficientDriver = 35, kNoDevice = 100,
                      kNotReady = 600;

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// Thread-safe, as CUDA is. Which device a call is for is a property of the calling thread (SetDevice).
class CudaApi {
 public:
  virtual ~CudaApi() = default;

  virtual Code DeviceCount(int* count) = 0;
  virtual Code Describe(int index, Chip* chip) = 0;
  virtual Code SetDevice(int index) = 0;
  virtual Code MemoryInfo(uint64_t* free_bytes, uint64_t* total_bytes) = 0;

  virtual Code Malloc(void** memory, uint64_t bytes) = 0;
  virtual Code Free(void* memory) = 0;
  virtual Code MallocHost(void** memory, uint64_t bytes) = 0;  // page-locked
  virtual Code FreeHost(void* memory) = 0;
  virtual Code CopyAsync(void* to, const void* from, uint64_t bytes, CopyKind kind, StreamHandle stream) = 0;
  virtual Code SetAsync(void* to, int byte, uint64_t bytes, StreamHandle stream) = 0;

  virtual Code StreamCreate(StreamHandle* stream) = 0;  // cudaStreamNonBlocking
  virtual Code StreamDestroy(StreamHandle stream) = 0;
  virtual Code StreamWaitEvent(StreamHandle stream, EventHandle event) = 0;
  virtual Code StreamSynchronize(StreamHandle stream) = 0;

  virtual Code EventCreate(EventHandle* event, bool timed) = 0;  // not timed: cudaEventDisableTiming
  virtual Code EventElapsed(float* milliseconds, EventHandle start, EventHandle end) = 0;
  virtual Code EventDestroy(EventHandle event) = 0;
  virtual Code EventRecord(EventHandle event, StreamHandle stream) = 0;
  virtual Code EventQuery(EventHandle event) = 0;  // kNotReady: not yet
  virtual Code EventSynchronize(EventHandle event) = 0;

  virtual Code BeginCapture(StreamHandle stream) = 0;  // of this thread's calls only
  virtual Code EndCapture(StreamHandle stream, GraphHandle* graph) = 0;
  virtual Code GraphInstantiate(GraphExecHandle* exec, GraphHandle graph) = 0;
  virtual Code GraphLaunch(GraphExecHandle exec, StreamHandle stream) = 0;
  virtual Code GraphDestroy(GraphHandle graph) = 0;
  virtual Code GraphExecDestroy(GraphExecHandle exec) = 0;

  // "cudaErrorInvalidValue" and "invalid argument".
  virtual std::string ErrorName(Code code) = 0;
  virtual std::string ErrorText(Code code) = 0;
  // 13000: CUDA 13.0. The runtime is ours; the driver is the machine's, 0 when there is none.
  virtual int RuntimeVersion() = 0;
  virtual int DriverVersion() = 0;
};

// The runtime linked into this program. Lives as long as the program.
CudaApi& RealCudaApi();

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_API_H_
