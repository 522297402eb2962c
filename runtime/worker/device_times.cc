#include "runtime/worker/device_times.h"

#include <algorithm>
#include <cmath>

#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<std::unique_ptr<DeviceTimes>> DeviceTimes::Make(Device* device, Stream* stream, size_t instructions) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Event> anchor, device->NewTimedEvent());
  if (anchor == nullptr) return nullptr;
  std::unique_ptr<DeviceTimes> times(new DeviceTimes(device, stream));
  times->anchor_ = std::move(anchor);
  times->marks_.resize(instructions);
  for (Marks& marks : times->marks_) {
    for (std::unique_ptr<Event>& event : marks.events) {
      MR_ASSIGN_OR_RETURN(event, device->NewTimedEvent());
    }
  }
  return times;
}

void DeviceTimes::Begin() {
  for (Marks& marks : marks_) std::fill(std::begin(marks.marked), std::end(marks.marked), false);
  anchored_ = 0;
}

absl::Status DeviceTimes::Mark(int instruction, Point point) {
  marks_[instruction].marked[point] = true;
  return stream_->Record(marks_[instruction].events[point].get());
}

absl::Status DeviceTimes::Anchor() {
  MR_RETURN_IF_ERROR(stream_->Record(anchor_.get()));
  MR_RETURN_IF_ERROR(anchor_->Wait());
  anchored_ = TraceRing::Now();
  return absl::OkStatus();
}

absl::StatusOr<int64_t> DeviceTimes::TimeOf(const Event& event) const {
  MR_ASSIGN_OR_RETURN(const double seconds, event.SecondsSince(*anchor_));
  return anchored_ + std::llround(seconds * 1e9);
}

absl::Status DeviceTimes::Replace(const std::vector<uint64_t>& entries, TraceRing* ring) {
  if (anchored_ == 0) return absl::OkStatus();  // nothing was run
  MR_RETURN_IF_ERROR(stream_->Synchronize());
  for (size_t i = 0; i < std::min(entries.size(), marks_.size()); ++i) {
    const Marks& marks = marks_[i];
    if (!marks.marked[kStart] || !marks.marked[kEnd]) continue;
    TraceRing::Entry& entry = ring->at(entries[i]);
    MR_ASSIGN_OR_RETURN(entry.start, TimeOf(*marks.events[kStart]));
    MR_ASSIGN_OR_RETURN(entry.end, TimeOf(*marks.events[kEnd]));
    if (marks.marked[kReady]) {
      MR_ASSIGN_OR_RETURN(const int64_t ready, TimeOf(*marks.events[kReady]));
      entry.wait = ready - entry.start;
    }
    entry.wait = std::clamp<int64_t>(entry.wait, 0, entry.end - entry.start);  // what only the host waited for
  }
  return absl::OkStatus();
}

}  // namespace millrace
