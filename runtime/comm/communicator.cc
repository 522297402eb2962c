#include "runtime/comm/communicator.h"

#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<Communicator::Ticket> Communicator::PostAfter(Stream& stream, absl::Span<const Transfer> group) {
  MR_RETURN_IF_ERROR(stream.Synchronize());
  return Post(group);
}

absl::Status Communicator::WaitOn(Stream&, Ticket ticket, const std::function<std::string()>& what) {
  return Wait(ticket, what);
}

}  // namespace millrace
