#include "tests/kernels/async_device.h"

#include <algorithm>
#include <cstring>

#include "absl/time/clock.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

class AsyncKernel : public Kernel {
 public:
  AsyncKernel(std::unique_ptr<Kernel> inner, const OpDesc& desc)
      : Kernel(inner->needs()), inner_(std::move(inner)), inputs_(desc.inputs.size()), outputs_(desc.outputs.size()) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    auto& queue = static_cast<AsyncStream&>(stream);
    std::vector<void*> inputs(args.inputs, args.inputs + inputs_), outputs(args.outputs, args.outputs + outputs_);
    queue.Put([inner = inner_, &queue, args = KernelArgs(args), inputs, outputs]() mutable {
      args.inputs = inputs.data();
      args.outputs = outputs.data();
      return inner->Run(queue.inner(), args);
    });
    return absl::OkStatus();
  }

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    auto& queue = static_cast<AsyncStream&>(stream);
    std::vector<void*> inputs(args.inputs, args.inputs + inputs_);
    queue.Put([inner = inner_, &queue, args = KernelArgs(args), inputs, packed]() mutable {
      args.inputs = inputs.data();
      return inner->Pack(queue.inner(), args, packed);
    });
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<Kernel> inner_;  // queues may outlive the kernel
  const size_t inputs_, outputs_;
};

struct AsyncRecording : Recording {
  std::vector<AsyncStream::Work> works;
};

}  // namespace

bool AsyncEvent::Ready() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->finished == state_->recorded;
}

absl::Status AsyncEvent::Wait() {
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->finished == state_->recorded; });
  return absl::OkStatus();
}

absl::StatusOr<double> AsyncEvent::SecondsSince(const Event& earlier) const {
  const State& before = *static_cast<const AsyncEvent&>(earlier).state_;
  return absl::ToDoubleSeconds(state_->at - before.at);
}

AsyncStream::~AsyncStream() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void AsyncStream::Put(Work work) {
  if (captured_ != nullptr) return captured_->push_back(std::move(work));
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void AsyncStream::Run() {
  uint32_t random = 1;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    random = random * 1664525u + 1013904223u;
    if (delay_ > absl::ZeroDuration()) absl::SleepFor(delay_ * (random >> 16) / 65536);
    absl::Status status = work();
    lock.lock();
    busy_ = false;
    if (error_.ok()) error_ = status;
    changed_.notify_all();
  }
}

absl::Status AsyncStream::Record(Event* event) {
  const std::shared_ptr<AsyncEvent::State> state = static_cast<AsyncEvent*>(event)->state_;
  uint64_t number;
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    number = ++state->recorded;
  }
  Put([state, number] {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->finished = std::max(state->finished, number);
    state->at = absl::Now();
    state->changed.notify_all();
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

absl::Status AsyncStream::WaitFor(Event* event) {
  const std::shared_ptr<AsyncEvent::State> state = static_cast<AsyncEvent*>(event)->state_;
  uint64_t number;
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    number = state->recorded;
  }
  Put([state, number] {
    std::unique_lock<std::mutex> lock(state->mutex);
    state->changed.wait(lock, [&] { return state->finished >= number; });
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

absl::Status AsyncStream::Synchronize() {
  ++synchronized_;
  return Drain();
}

absl::Status AsyncStream::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
  return error_;
}

absl::Status AsyncStream::Copy(void* to, const void* from, uint64_t bytes) {
  Put([=] {
    std::memcpy(to, from, bytes);
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

absl::Status AsyncStream::Zero(void* to, uint64_t bytes) {
  Put([=] {
    std::memset(to, 0, bytes);
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

absl::Status AsyncStream::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  Put([device_memory, bytes = std::string(static_cast<const char*>(host), bytes)] {
    std::memcpy(device_memory, bytes.data(), bytes.size());
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

absl::Status AsyncStream::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  MR_RETURN_IF_ERROR(Drain());
  std::memcpy(host, device_memory, bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Recording>> AsyncStream::Capture(absl::FunctionRef<absl::Status()> work) {
  auto recording = std::make_unique<AsyncRecording>();
  captured_ = &recording->works;
  const absl::Status status = work();
  captured_ = nullptr;
  if (!status.ok()) return status;
  return recording;
}

absl::Status AsyncStream::Launch(const Recording& recording) {
  ++launched_;
  for (const Work& work : static_cast<const AsyncRecording&>(recording).works) Put(work);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Stream>> AsyncDevice::NewStream() {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Stream> inner, inner_->NewStream());
  return std::make_unique<AsyncStream>(std::move(inner), delay_);
}

absl::StatusOr<std::unique_ptr<Kernel>> AsyncDevice::NewKernel(const OpDesc& desc) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> inner, inner_->NewKernel(desc));
  return std::make_unique<AsyncKernel>(std::move(inner), desc);
}

}  // namespace millrace
