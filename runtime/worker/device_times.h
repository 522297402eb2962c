// When a device did what a rank put on its stream. The host runs ahead of it, so its own clock says only when work was
// queued; timed events in the stream say the rest.
#ifndef RUNTIME_WORKER_DEVICE_TIMES_H_
#define RUNTIME_WORKER_DEVICE_TIMES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/trace/ring.h"

namespace millrace {

// Of the last program. The rank's thread only; everything passed in must outlive it.
class DeviceTimes {
 public:
  // For programs of up to so many instructions. Null where the device's streams have no clock, or are the host's.
  static absl::StatusOr<std::unique_ptr<DeviceTimes>> Make(Device* device, Stream* stream, size_t instructions);

  // A program begins.
  void Begin();
  // The stream stands here in an instruction: at its start, where what it waits for has come (optional), at its end.
  enum Point { kStart = 0, kReady = 1, kEnd = 2 };
  absl::Status Mark(int instruction, Point point);
  // The host knows that the stream is empty: the two clocks are compared.
  absl::Status Anchor();

  // Waits for the stream and replaces the times of the program's entries; `entries[i]` is the ring's handle of
  // instruction i.
  absl::Status Replace(const std::vector<uint64_t>& entries, TraceRing* ring);

 private:
  struct Marks {
    std::unique_ptr<Event> events[3];
    bool marked[3] = {};
  };

  DeviceTimes(Device* device, Stream* stream) : device_(device), stream_(stream) {}
  absl::StatusOr<int64_t> TimeOf(const Event& event) const;  // of the host's clock

  Device* const device_;
  Stream* const stream_;
  std::vector<Marks> marks_;  // by instruction
  std::unique_ptr<Event> anchor_;
  int64_t anchored_ = 0;  // when, by the host's clock
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_DEVICE_TIMES_H_
