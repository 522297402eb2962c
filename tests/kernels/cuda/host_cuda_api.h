// A CUDA API on the host that does everything at once, for the emulator's device: memory is malloc's, and an event is
// done when it is recorded. Nothing is written down (fake_cuda_api.h does that). It captures nothing.
#ifndef TESTS_KERNELS_CUDA_HOST_CUDA_API_H_
#define TESTS_KERNELS_CUDA_HOST_CUDA_API_H_

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/cuda/cuda_api.h"
#include "tests/kernels/cuda/fake_cuda_api.h"

namespace millrace::cuda {

// Thread-safe. An event's handle points to when it was recorded.
class HostCudaApi : public CudaApi {
 public:
  Code DeviceCount(int* count) override {
    *count = 1;
    return kSuccess;
  }
  Code Describe(int index, Chip* chip) override {
    *chip = FakeCudaApi::H200(index);
    return kSuccess;
  }
  Code SetDevice(int) override { return kSuccess; }
  Code MemoryInfo(uint64_t* free_bytes, uint64_t* total_bytes) override {
    *free_bytes = *total_bytes = uint64_t{1} << 34;
    return kSuccess;
  }
  Code Malloc(void** memory, uint64_t bytes) override {
    *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    return kSuccess;
  }
  Code Free(void* memory) override {
    std::free(memory);
    return kSuccess;
  }
  Code MallocHost(void** memory, uint64_t bytes) override { return Malloc(memory, bytes); }
  Code FreeHost(void* memory) override { return Free(memory); }
  Code CopyAsync(void* to, const void* from, uint64_t bytes, CopyKind, StreamHandle) override {
    std::memmove(to, from, bytes);
    return kSuccess;
  }
  Code SetAsync(void* to, int byte, uint64_t bytes, StreamHandle) override {
    std::memset(to, byte, bytes);
    return kSuccess;
  }
  Code StreamCreate(StreamHandle* stream) override {
    *stream = reinterpret_cast<StreamHandle>(this);
    return kSuccess;
  }
  Code StreamDestroy(StreamHandle) override { return kSuccess; }
  Code StreamWaitEvent(StreamHandle, EventHandle) override { return kSuccess; }
  Code StreamSynchronize(StreamHandle) override { return kSuccess; }
  Code EventCreate(EventHandle* event, bool) override {
    *event = reinterpret_cast<EventHandle>(new Clock::time_point());
    return kSuccess;
  }
  Code EventElapsed(float* milliseconds, EventHandle start, EventHandle end) override {
    *milliseconds = std::chrono::duration<float, std::milli>(*At(end) - *At(start)).count();
    return kSuccess;
  }
  Code EventDestroy(EventHandle event) override {
    delete At(event);
    return kSuccess;
  }
  Code EventRecord(EventHandle event, StreamHandle) override {
    *At(event) = Clock::now();
    return kSuccess;
  }
  Code EventQuery(EventHandle) override { return kSuccess; }
  Code EventSynchronize(EventHandle) override { return kSuccess; }
  Code BeginCapture(StreamHandle) override { return kInvalidValue; }
  Code EndCapture(StreamHandle, GraphHandle*) override { return kInvalidValue; }
  Code GraphInstantiate(GraphExecHandle*, GraphHandle) override { return kInvalidValue; }
  Code GraphLaunch(GraphExecHandle, StreamHandle) override { return kInvalidValue; }
  Code GraphDestroy(GraphHandle) override { return kInvalidValue; }
  Code GraphExecDestroy(GraphExecHandle) override { return kInvalidValue; }
  std::string ErrorName(Code code) override { return "cudaError" + std::to_string(code); }
  std::string ErrorText(Code code) override { return "text of " + std::to_string(code); }
  int RuntimeVersion() override { return 13000; }
  int DriverVersion() override { return 13000; }

 private:
  using Clock = std::chrono::steady_clock;
  static Clock::time_point* At(EventHandle event) { return reinterpret_cast<Clock::time_point*>(event); }
};

}  // namespace millrace::cuda

#endif  // TESTS_KERNELS_CUDA_HOST_CUDA_API_H_
