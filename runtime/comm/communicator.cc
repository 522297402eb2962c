#include "runtime/comm/communicator.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {

absl::Status Communicator::Attach(Device* device) {
  if (device->memory_is_hosts()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("rank ", rank(), ": this transport moves the host's memory, not that of ",
                                               device->name(), "; use --comm=nccl, or --comm=in_process in one process"));
}

absl::StatusOr<Communicator::Ticket> Communicator::PostAfter(Stream& stream, absl::Span<const Transfer> group) {
  MR_RETURN_IF_ERROR(stream.Synchronize());
  return Post(group);
}

absl::Status Communicator::WaitOn(Stream&, Ticket ticket, const std::function<std::string()>& what) {
  return Wait(ticket, what);
}

}  // namespace millrace
