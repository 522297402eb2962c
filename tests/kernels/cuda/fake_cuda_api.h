// A CUDA API on the host: memory is malloc's, copies happen at once, and every call is written down with small names
// for the handles. Any call can be told to fail.
#ifndef TESTS_KERNELS_CUDA_FAKE_CUDA_API_H_
#define TESTS_KERNELS_CUDA_FAKE_CUDA_API_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/cuda/cuda_api.h"

namespace millrace::cuda {

// Used by one thread.
class FakeCudaApi : public CudaApi {
 public:
  std::vector<std::string> calls;       // "StreamWaitEvent stream1 event0"; SetDevice only where the device changes
  std::vector<Chip> chips = {H200(0)};  // the GPUs of the machine
  int driver = 13000;
  Code count_code = kSuccess;
  // The next call of this name returns the code.
  std::map<std::string, Code> fail;
  // EventQuery answers kNotReady while positive.
  int busy_queries = 0;
  int64_t live_allocations = 0;

  static Chip H200(int index) {
    Chip chip;
    chip.index = index;
    chip.name = "NVIDIA H200";
    chip.major = 9;
    chip.multiprocessors = 132;
    chip.memory_bytes = int64_t{139} << 30;
    chip.most_shared_bytes = 227 << 10;
    return chip;
  }

  Code DeviceCount(int* count) override {
    *count = static_cast<int>(chips.size());
    return count_code;
  }
  Code Describe(int index, Chip* chip) override {
    *chip = chips[index];
    return kSuccess;
  }
  Code SetDevice(int index) override {
    if (index != current_) calls.push_back(absl::StrCat("SetDevice ", index));
    current_ = index;
    return Fails("SetDevice");
  }
  Code MemoryInfo(uint64_t* free_bytes, uint64_t* total_bytes) override {
    *free_bytes = 1000;
    *total_bytes = 2000;
    return kSuccess;
  }
  Code Malloc(void** memory, uint64_t bytes) override {
    if (const Code code = Note("Malloc", bytes); code != kSuccess) return code;
    ++live_allocations;
    *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(*memory, 0x5a, bytes);
    return kSuccess;
  }
  Code Free(void* memory) override {
    --live_allocations;
    std::free(memory);
    return Note("Free");
  }
  Code MallocHost(void** memory, uint64_t bytes) override {
    if (const Code code = Note("MallocHost", bytes); code != kSuccess) return code;
    ++live_allocations;
    *memory = std::malloc(bytes);
    return kSuccess;
  }
  Code FreeHost(void* memory) override {
    --live_allocations;
    std::free(memory);
    return Note("FreeHost");
  }
  Code CopyAsync(void* to, const void* from, uint64_t bytes, CopyKind kind, StreamHandle stream) override {
    const char* names[] = {"in", "out", "within"};
    const Code code = Note("Copy", names[static_cast<int>(kind)], bytes, NameOf(stream));
    if (code == kSuccess && capturing_ == nullptr) std::memmove(to, from, bytes);
    return code;
  }
  Code SetAsync(void* to, int byte, uint64_t bytes, StreamHandle stream) override {
    const Code code = Note("Set", byte, bytes, NameOf(stream));
    if (code == kSuccess && capturing_ == nullptr) std::memset(to, byte, bytes);
    return code;
  }
  Code StreamCreate(StreamHandle* stream) override { return Create("StreamCreate", "stream", stream); }
  Code StreamDestroy(StreamHandle stream) override { return Note("StreamDestroy", NameOf(stream)); }
  Code StreamWaitEvent(StreamHandle stream, EventHandle event) override {
    return Note("StreamWaitEvent", NameOf(stream), NameOf(event));
  }
  Code StreamSynchronize(StreamHandle stream) override { return Note("StreamSynchronize", NameOf(stream)); }
  Code EventCreate(EventHandle* event, bool timed) override {
    return Create(timed ? "EventCreateTimed" : "EventCreate", "event", event);
  }
  Code EventElapsed(float* milliseconds, EventHandle start, EventHandle end) override {
    *milliseconds = 250;
    return Note("EventElapsed", NameOf(start), NameOf(end));
  }
  Code EventDestroy(EventHandle event) override { return Note("EventDestroy", NameOf(event)); }
  Code EventRecord(EventHandle event, StreamHandle stream) override {
    return Note("EventRecord", NameOf(event), NameOf(stream));
  }
  Code EventQuery(EventHandle) override { return busy_queries-- > 0 ? kNotReady : kSuccess; }
  Code EventSynchronize(EventHandle event) override { return Note("EventSynchronize", NameOf(event)); }
  Code BeginCapture(StreamHandle stream) override {
    capturing_ = stream;
    return Note("BeginCapture", NameOf(stream));
  }
  Code EndCapture(StreamHandle stream, GraphHandle* graph) override {
    capturing_ = nullptr;
    const Code code = Create("EndCapture", "graph", graph);
    calls.push_back(absl::StrCat("  of ", NameOf(stream)));
    return code;
  }
  Code GraphInstantiate(GraphExecHandle* exec, GraphHandle graph) override {
    return Create(absl::StrCat("GraphInstantiate ", NameOf(graph)), "exec", exec);
  }
  Code GraphLaunch(GraphExecHandle exec, StreamHandle stream) override {
    return Note("GraphLaunch", NameOf(exec), NameOf(stream));
  }
  Code GraphDestroy(GraphHandle graph) override { return Note("GraphDestroy", NameOf(graph)); }
  Code GraphExecDestroy(GraphExecHandle exec) override { return Note("GraphExecDestroy", NameOf(exec)); }
  std::string ErrorName(Code code) override { return absl::StrCat("cudaError", code); }
  std::string ErrorText(Code code) override { return absl::StrCat("text of ", code); }
  int RuntimeVersion() override { return 13000; }
  int DriverVersion() override { return driver; }

  // Calls since the last Take.
  std::vector<std::string> Take() { return std::exchange(calls, {}); }

 private:
  template <typename... Parts>
  Code Note(absl::string_view name, const Parts&... parts) {
    std::string line(name);
    (absl::StrAppend(&line, " ", parts), ...);
    calls.push_back(line);
    return Fails(name);
  }
  Code Fails(absl::string_view name) {
    const auto found = fail.find(std::string(name));
    if (found == fail.end()) return kSuccess;
    const Code code = found->second;
    fail.erase(found);
    return code;
  }
  // Handles are numbers that no one may follow.
  template <typename Handle>
  Code Create(absl::string_view call, absl::string_view kind, Handle* handle) {
    const std::string name = absl::StrCat(kind, counts_[std::string(kind)]++);
    names_.push_back(name);
    *handle = reinterpret_cast<Handle>(names_.size());
    return Note(call, name);
  }
  std::string NameOf(const void* handle) const {
    const size_t number = reinterpret_cast<size_t>(handle);
    return number == 0 ? "default" : names_[number - 1];
  }

  int current_ = -1;
  const void* capturing_ = nullptr;
  std::vector<std::string> names_;
  std::map<std::string, int> counts_;
};

}  // namespace millrace::cuda

#endif  // TESTS_KERNELS_CUDA_FAKE_CUDA_API_H_
