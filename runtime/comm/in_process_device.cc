// Copies between ranks that are threads of this process, on one GPU or several.
#include <algorithm>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/comm/in_process_hub.h"

namespace millrace::in_process {

absl::Status Hub::Attach(int rank, Device* device) {
  if (device->memory_is_hosts()) return absl::OkStatus();
  Seat& seat = seats_[rank];
  MR_ASSIGN_OR_RETURN(seat.copying, device->NewStream());
  seat.device.store(device);
  return absl::OkStatus();
}

// Everything that the copy waits for was queued before, so streams never wait for each other in a circle.
absl::Status Hub::MoveOnDevice(Record* record, const Transfer& transfer, const Half& other) {
  Seat& seat = seats_[record->rank];
  for (const Record* half : {record, other.record}) {
    if (half->follows) MR_RETURN_IF_ERROR(seat.copying->WaitFor(half->begin.get()));
  }
  MR_RETURN_IF_ERROR(seat.copying->Copy(transfer.send ? other.memory : transfer.memory,
                                        transfer.send ? transfer.memory : other.memory, transfer.bytes));
  auto event = std::find_if(seat.copy_events.begin(), seat.copy_events.end(),
                            [](const std::shared_ptr<Event>& known) { return known.use_count() == 1; });
  if (event == seat.copy_events.end()) {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Event> made, seat.device.load()->NewEvent());
    event = seat.copy_events.insert(event, std::move(made));
  }
  MR_RETURN_IF_ERROR(seat.copying->Record(event->get()));
  for (Record* half : {record, other.record}) {
    std::lock_guard<std::mutex> lock(seats_[half->rank].mutex);
    half->copies.push_back(*event);
  }
  return absl::OkStatus();
}

}  // namespace millrace::in_process
