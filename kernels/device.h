// The machine as the runtime sees it: a device, its memory, its queues of work, its kernels. Implemented by each
// backend (reference, cpu, cuda); `kernels/backends.h` opens one by name.
#ifndef KERNELS_DEVICE_H_
#define KERNELS_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/op_desc.h"

namespace millrace {

class Device;
class Stream;

// A range of device memory, 256-byte aligned, zeroed when made. Owns it; movable. Must die before its Device.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device* device, void* memory, uint64_t bytes) : device_(device), memory_(memory), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* memory() const { return memory_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* memory_ = nullptr;
  uint64_t bytes_ = 0;
};

// A point in a stream's order that another stream, or the host, can wait for. Reusable: each Record starts it anew.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool Ready() const = 0;
  // Blocks the calling thread until the recorded work is done.
  virtual absl::Status Wait() = 0;
  // From the work before `earlier` to that before this one, by the device's clock; negative when it was the other way
  // round. Both of NewTimedEvent and done.
  virtual absl::StatusOr<double> SecondsSince(const Event& earlier) const;
};

// Work of a stream, kept to be queued again for the price of one call. Everything about it is frozen: addresses, sizes,
// and what kernels were told by value, the RunKey included. Must die before its Device.
class Recording {
 public:
  virtual ~Recording() = default;
};

// A queue of work that runs in order. On CPU the calling thread does the work itself, helped by the rank's pool, so
// every call returns when the work is done. One thread at a time may use a Stream.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual absl::Status Record(Event* event) = 0;
  virtual absl::Status WaitFor(Event* event) = 0;
  virtual absl::Status Synchronize() = 0;
  virtual absl::Status Copy(void* to, const void* from, uint64_t bytes) = 0;  // within the device
  virtual absl::Status Zero(void* to, uint64_t bytes) = 0;
  // Host memory to the device and back, behind what the stream holds. CopyIn has taken the bytes when it returns, and
  // need not have delivered them; CopyOut returns when they are there.
  virtual absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes);
  virtual absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes);
  // Keeps what `work` queues on this stream instead of running it. `work` neither waits nor copies from or to the host.
  // Null where the device has no such thing: then `work` has not been called.
  virtual absl::StatusOr<std::unique_ptr<Recording>> Capture(absl::FunctionRef<absl::Status()> work);
  virtual absl::Status Launch(const Recording& recording);  // of any stream of the device; one launch at a time
  // The queue as the libraries of its device know it (CUDA: cudaStream_t); null where there is none.
  virtual void* native() const { return nullptr; }
};

// What random operators are keyed by, besides their own `random_key` attribute: never the order of execution.
struct RunKey {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint64_t micro_batch = 0;  // index in the global step
};

// The memory of one call. Arrays are as long as OpDesc's inputs and outputs; nullptr = absent. The caller keeps the
// arrays alive; the kernel does not keep them.
struct KernelArgs {
  void* const* inputs = nullptr;
  void* const* outputs = nullptr;
  void* scratch = nullptr;       // needs().scratch_bytes, 256-byte aligned, contents undefined before and after
  const void* packed = nullptr;  // needs().packed_bytes, as written by Pack
  RunKey key;
};

struct KernelNeeds {
  uint64_t scratch_bytes = 0;
  uint64_t packed_bytes = 0;  // > 0: Pack must run after each change of the weights
  // Two packings with the same key, of the same weights, have the same bytes: they are made and kept once.
  std::string pack_key;
  std::string algorithm;  // which of its library's it was given, for reports; empty where there is no choice
};

// A computation prepared once for fixed shapes and run many times, from any thread, with other memory each time.
// Immutable after preparation: one Kernel may serve many call sites, but not at the same time with the same memory.
class Kernel {
 public:
  explicit Kernel(KernelNeeds needs) : needs_(std::move(needs)) {}
  virtual ~Kernel() = default;

  const KernelNeeds& needs() const { return needs_; }
  // Writes `packed` from the weight inputs of args (the others may be null). Only when needs().packed_bytes > 0.
  virtual absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const;
  virtual absl::Status Run(Stream& stream, const KernelArgs& args) const = 0;

 private:
  KernelNeeds needs_;
};

struct DeviceOptions {
  int index = 0;
  int threads = 1;     // CPU: how many threads a stream's work is divided among, the caller included
  bool tf32 = false;   // CUDA: float32 products may round their operands to TF32, 10 bits of mantissa
  bool cudnn = false;  // CUDA: attention's forward pass by cuDNN where it can, instead of by our own kernels
};

// Thread-safe.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string kind() const = 0;  // "cpu", "reference"
  virtual std::string name() const = 0;  // processor's model name, for reports and cost tables
  // Whether the host reads and writes its memory as its own.
  virtual bool memory_is_hosts() const { return true; }
  // Bytes of the device's own memory that are taken, by anybody. UNIMPLEMENTED where it has none of its own.
  virtual absl::StatusOr<uint64_t> MemoryInUse();
  // RESOURCE_EXHAUSTED when there is not that much memory.
  virtual absl::StatusOr<Buffer> Allocate(uint64_t bytes) = 0;
  virtual absl::StatusOr<std::unique_ptr<Stream>> NewStream() = 0;
  virtual absl::StatusOr<std::unique_ptr<Event>> NewEvent() = 0;
  // One that notes when. Null where streams work at once, and the host's clock does.
  virtual absl::StatusOr<std::unique_ptr<Event>> NewTimedEvent() { return nullptr; }
  // INVALID_ARGUMENT names the input or attribute at fault; UNIMPLEMENTED names the operator and what is supported.
  virtual absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) = 0;
  // Host memory to device and back; both return when done. They do not wait for streams (Stream::CopyIn does).
  virtual absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) = 0;
  virtual absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) = 0;

 private:
  friend class Buffer;
  virtual void Free(void* memory, uint64_t bytes) = 0;
};

}  // namespace millrace

#endif  // KERNELS_DEVICE_H_
