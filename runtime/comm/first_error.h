// The first error of a group of threads: set once, read by all.
#ifndef RUNTIME_COMM_FIRST_ERROR_H_
#define RUNTIME_COMM_FIRST_ERROR_H_

#include <atomic>
#include <mutex>
#include <string>

#include "absl/status/status.h"

namespace millrace {

class FirstError {
 public:
  // True when this was the first. An OK status counts as CANCELLED: who aborts without a reason still aborts.
  bool Set(const absl::Status& why) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (code_ != absl::StatusCode::kOk) return false;
    code_ = why.ok() ? absl::StatusCode::kCancelled : why.code();
    message_ = why.ok() ? "aborted without a reason" : std::string(why.message());
    set_.store(true, std::memory_order_release);
    return true;
  }

  bool set() const { return set_.load(std::memory_order_acquire); }

  // OK while there is none.
  absl::Status Get() const {
    if (!set()) return absl::OkStatus();
    std::lock_guard<std::mutex> lock(mutex_);
    return absl::Status(code_, message_);
  }

 private:
  std::atomic<bool> set_{false};
  mutable std::mutex mutex_;
  // Not a Status: its reference count lies in a library that thread sanitizers do not see.
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::string message_;
};

}  // namespace millrace

#endif  // RUNTIME_COMM_FIRST_ERROR_H_
