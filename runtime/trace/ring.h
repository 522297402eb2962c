// The always-on record of a rank's instruction times: profiler and flight recorder in one. A ring of fixed size that is
// written without allocation and without locks, by the rank's own thread.
#ifndef RUNTIME_TRACE_RING_H_
#define RUNTIME_TRACE_RING_H_

#include <cstdint>
#include <vector>

#include "proto/trace.pb.h"

namespace millrace {

class TraceRing {
 public:
  // Nanoseconds of the steady clock.
  static int64_t Now();

  struct Entry {
    uint32_t instruction = 0;
    int64_t start = 0;
    int64_t end = 0;   // 0: has not ended
    int64_t wait = 0;  // of end - start, before the work itself began
  };

  // Keeps the last `capacity` instructions; rounded up to a power of two.
  explicit TraceRing(size_t capacity);

  // A program begins: AppendSpans will speak of the instructions from here on.
  void BeginProgram() { first_of_program_ = next_; }
  // Starts an entry and returns its handle, which stays good until `capacity` more were started.
  uint64_t Start(uint32_t instruction, int64_t start) {
    entries_[next_ & mask_] = {instruction, start, 0, 0};
    return next_++;
  }
  Entry& at(uint64_t handle) { return entries_[handle & mask_]; }

  // Ended instructions of the last program, oldest first, as far as the ring still holds them; seconds since
  // `epoch_seconds` of the steady clock.
  void AppendSpans(uint32_t rank, double epoch_seconds, proto::StepTrace* trace) const;

 private:
  std::vector<Entry> entries_;
  uint64_t mask_ = 0;
  uint64_t next_ = 0;
  uint64_t first_of_program_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_TRACE_RING_H_
