// The CPU's queue of work: the calling thread, helped by a pool of its own.
//
// One subtle rule: a kernel divides its work into tasks by the shapes alone, never by threads(), and never along a
// summed dimension. Then the number of threads changes which thread does a task, and not one bit of the result.
#ifndef KERNELS_CPU_CPU_STREAM_H_
#define KERNELS_CPU_CPU_STREAM_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "kernels/device.h"

namespace millrace {

class ThreadPool;

// Implements Stream: everything is done when a call returns. Used by one thread at a time.
class CpuStream : public Stream {
 public:
  explicit CpuStream(int threads);  // >= 1, the caller included
  ~CpuStream() override;

  int threads() const;
  // Calls task(0) ... task(tasks - 1), each once, on the calling thread and the pool's; returns when all have returned.
  // The library calls made inside run single-threaded.
  void ParallelFor(int64_t tasks, absl::FunctionRef<void(int64_t task)> task);

  absl::Status Record(Event* event) override;
  absl::Status WaitFor(Event* event) override;
  absl::Status Synchronize() override;
  absl::Status Copy(void* to, const void* from, uint64_t bytes) override;
  absl::Status Zero(void* to, uint64_t bytes) override;

 private:
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace millrace

#endif  // KERNELS_CPU_CPU_STREAM_H_
