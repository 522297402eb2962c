// CudaApi on the CUDA runtime, call for call.
#include <cuda_runtime_api.h>

#include "kernels/cuda/cuda_api.h"

namespace millrace::cuda {
namespace {

static_assert(kSuccess == cudaSuccess && kInvalidValue == cudaErrorInvalidValue &&
              kOutOfMemory == cudaErrorMemoryAllocation && kInsufficientDriver == cudaErrorInsufficientDriver &&
              kNoDevice == cudaErrorNoDevice && kNotReady == cudaErrorNotReady);

// CUDA keeps an error that a call returned until it is asked for, and a later launch would be blamed for it.
Code Noted(cudaError_t code) {
  if (code != cudaSuccess) cudaGetLastError();
  return code;
}

cudaMemcpyKind KindOf(CopyKind kind) {
  switch (kind) {
    case CopyKind::kHostToDevice:
      return cudaMemcpyHostToDevice;
    case CopyKind::kDeviceToHost:
      return cudaMemcpyDeviceToHost;
    default:
      return cudaMemcpyDefault;  // may be another GPU's memory
  }
}

class RuntimeApi : public CudaApi {
 public:
  Code DeviceCount(int* count) override { return Noted(cudaGetDeviceCount(count)); }
  Code Describe(int index, Chip* chip) override {
    cudaDeviceProp properties;
    const Code code = Noted(cudaGetDeviceProperties(&properties, index));
    if (code != kSuccess) return code;
    chip->index = index;
    chip->name = properties.name;
    chip->major = properties.major;
    chip->minor = properties.minor;
    chip->multiprocessors = properties.multiProcessorCount;
    chip->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    chip->shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlock);
    chip->most_shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
    chip->l2_bytes = properties.l2CacheSize;
    return kSuccess;
  }
  Code SetDevice(int index) override { return Noted(cudaSetDevice(index)); }
  Code MemoryInfo(uint64_t* free_bytes, uint64_t* total_bytes) override {
    size_t free = 0, total = 0;
    const Code code = Noted(cudaMemGetInfo(&free, &total));
    *free_bytes = free;
    *total_bytes = total;
    return code;
  }

  Code Malloc(void** memory, uint64_t bytes) override { return Noted(cudaMalloc(memory, bytes)); }
  Code Free(void* memory) override { return Noted(cudaFree(memory)); }
  Code MallocHost(void** memory, uint64_t bytes) override { return Noted(cudaMallocHost(memory, bytes)); }
  Code FreeHost(void* memory) override { return Noted(cudaFreeHost(memory)); }
  Code CopyAsync(void* to, const void* from, uint64_t bytes, CopyKind kind, StreamHandle stream) override {
    return Noted(cudaMemcpyAsync(to, from, bytes, KindOf(kind), stream));
  }
  Code SetAsync(void* to, int byte, uint64_t bytes, StreamHandle stream) override {
    return Noted(cudaMemsetAsync(to, byte, bytes, stream));
  }

  Code StreamCreate(StreamHandle* stream) override {
    return Noted(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
  }
  Code StreamDestroy(StreamHandle stream) override { return Noted(cudaStreamDestroy(stream)); }
  Code StreamWaitEvent(StreamHandle stream, EventHandle event) override {
    return Noted(cudaStreamWaitEvent(stream, event, 0));
  }
  Code StreamSynchronize(StreamHandle stream) override { return Noted(cudaStreamSynchronize(stream)); }

  Code EventCreate(EventHandle* event, bool timed) override {
    return Noted(cudaEventCreateWithFlags(event, timed ? cudaEventDefault : cudaEventDisableTiming));
  }
  Code EventElapsed(float* milliseconds, EventHandle start, EventHandle end) override {
    return Noted(cudaEventElapsedTime(milliseconds, start, end));
  }
  Code EventDestroy(EventHandle event) override { return Noted(cudaEventDestroy(event)); }
  Code EventRecord(EventHandle event, StreamHandle stream) override { return Noted(cudaEventRecord(event, stream)); }
  Code EventQuery(EventHandle event) override { return Noted(cudaEventQuery(event)); }
  Code EventSynchronize(EventHandle event) override { return Noted(cudaEventSynchronize(event)); }

  Code BeginCapture(StreamHandle stream) override {
    return Noted(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  }
  Code EndCapture(StreamHandle stream, GraphHandle* graph) override {
    return Noted(cudaStreamEndCapture(stream, graph));
  }
  Code GraphInstantiate(GraphExecHandle* exec, GraphHandle graph) override {
    return Noted(cudaGraphInstantiate(exec, graph, 0));
  }
  Code GraphLaunch(GraphExecHandle exec, StreamHandle stream) override { return Noted(cudaGraphLaunch(exec, stream)); }
  Code GraphDestroy(GraphHandle graph) override { return Noted(cudaGraphDestroy(graph)); }
  Code GraphExecDestroy(GraphExecHandle exec) override { return Noted(cudaGraphExecDestroy(exec)); }

  std::string ErrorName(Code code) override { return cudaGetErrorName(static_cast<cudaError_t>(code)); }
  std::string ErrorText(Code code) override { return cudaGetErrorString(static_cast<cudaError_t>(code)); }
  int RuntimeVersion() override {
    int version = 0;
    return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : 0;
  }
  int DriverVersion() override {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
  }
};

}  // namespace

CudaApi& RealCudaApi() {
  static RuntimeApi* const api = new RuntimeApi;
  return *api;
}

}  // namespace millrace::cuda
