// Barrier and AllGather out of swaps between all ranks: for transports that have nothing better. Every rank hands every
// other a slip with its byte count, and its bytes when they fit; so different counts are seen by all.
#ifndef RUNTIME_COMM_MEETING_H_
#define RUNTIME_COMM_MEETING_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"

namespace millrace {

class Meeting {
 public:
  // Gives `mine` to every rank and puts everybody's `bytes` into `all`, in rank order; `mine` may already lie in its
  // place there. Swap number `number` of all ranks meet.
  using Swap = std::function<absl::Status(uint64_t number, const void* mine, void* all, uint64_t bytes)>;

  explicit Meeting(int size) : slips_(size) {}

  // INVALID_ARGUMENT, on every rank, when the ranks bring different byte counts. `bytes` 0 is a barrier.
  absl::Status Gather(const void* mine, void* all, uint64_t bytes, const Swap& swap);

 private:
  struct Slip {
    uint64_t bytes = 0;
    char payload[504] = {};
  };

  std::vector<Slip> slips_;
  uint64_t number_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_COMM_MEETING_H_
