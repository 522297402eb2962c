// A device whose streams work later, each on a thread of its own, as those of a GPU do, on the host's memory. Work that
// the host did not order by events runs in any order: a forgotten wait shows, to the thread sanitizer too.
#ifndef TESTS_KERNELS_ASYNC_DEVICE_H_
#define TESTS_KERNELS_ASYNC_DEVICE_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/device.h"

namespace millrace {

// Reusable: each recording is a number; who waits, waits for the last one at that moment.
class AsyncEvent : public Event {
 public:
  bool Ready() const override;
  absl::Status Wait() override;
  absl::StatusOr<double> SecondsSince(const Event& earlier) const override;

 private:
  friend class AsyncStream;
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t recorded = 0, finished = 0;
    absl::Time at;  // of the last one finished
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();  // queues may outlive the event
};

class AsyncStream : public Stream {
 public:
  // Before each piece of work the stream sleeps up to `delay`.
  AsyncStream(std::unique_ptr<Stream> inner, absl::Duration delay) : inner_(std::move(inner)), delay_(delay) {}
  ~AsyncStream() override;

  using Work = std::function<absl::Status()>;
  void Put(Work work);
  Stream& inner() { return *inner_; }  // for work on this stream

  absl::Status Record(Event* event) override;
  absl::Status WaitFor(Event* event) override;
  // Blocks the host: counted, so that a test can say that nothing did.
  absl::Status Synchronize() override;
  absl::Status Copy(void* to, const void* from, uint64_t bytes) override;
  absl::Status Zero(void* to, uint64_t bytes) override;
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override;
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Recording>> Capture(absl::FunctionRef<absl::Status()> work) override;
  absl::Status Launch(const Recording& recording) override;
  int launched() const { return launched_; }
  void* native() const override { return const_cast<AsyncStream*>(this); }
  int synchronized() const { return synchronized_; }
  absl::Status Drain();  // as Synchronize, and nobody counts

 private:
  void Run();

  const std::unique_ptr<Stream> inner_;
  const absl::Duration delay_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool busy_ = false, closing_ = false;
  absl::Status error_;
  std::atomic<int> synchronized_{0}, launched_{0};
  std::vector<Work>* captured_ = nullptr;  // where Put puts it instead
  std::thread thread_;  // from the first work on
};

// Kernels are those of `inner`, which must outlive it (the reference backend, say).
class AsyncDevice : public Device {
 public:
  explicit AsyncDevice(Device* inner, absl::Duration delay = absl::ZeroDuration()) : inner_(inner), delay_(delay) {}

  std::string kind() const override { return "async"; }
  std::string name() const override { return "threads that stand for a GPU"; }
  bool memory_is_hosts() const override { return false; }
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override { return inner_->Allocate(bytes); }
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override;
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return std::make_unique<AsyncEvent>(); }
  absl::StatusOr<std::unique_ptr<Event>> NewTimedEvent() override { return NewEvent(); }
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override;
  // They wait for no stream, as those of a GPU.
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override {
    return inner_->CopyIn(device_memory, host, bytes);
  }
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override {
    return inner_->CopyOut(host, device_memory, bytes);
  }

 private:
  void Free(void*, uint64_t) override {}  // buffers are the inner device's

  Device* const inner_;
  const absl::Duration delay_;
};

}  // namespace millrace

#endif  // TESTS_KERNELS_ASYNC_DEVICE_H_
