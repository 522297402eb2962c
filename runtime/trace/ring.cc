#include "runtime/trace/ring.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace millrace {

int64_t TraceRing::Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

TraceRing::TraceRing(size_t capacity)
    : entries_(std::bit_ceil(std::max<size_t>(capacity, 1))), mask_(entries_.size() - 1) {}

void TraceRing::AppendSpans(uint32_t rank, double epoch_seconds, proto::StepTrace* trace) const {
  const uint64_t oldest = next_ > entries_.size() ? next_ - entries_.size() : 0;
  for (uint64_t i = std::max(oldest, first_of_program_); i < next_; ++i) {
    const Entry& entry = entries_[i & mask_];
    if (entry.end == 0) continue;
    proto::Span* span = trace->add_spans();
    span->set_rank(rank);
    span->set_instruction(entry.instruction);
    span->set_start_seconds(static_cast<double>(entry.start) * 1e-9 - epoch_seconds);
    span->set_end_seconds(static_cast<double>(entry.end) * 1e-9 - epoch_seconds);
    span->set_wait_seconds(static_cast<double>(entry.wait) * 1e-9);
  }
}

}  // namespace millrace
