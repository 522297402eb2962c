// What every transport between processes refuses of a group of transfers.
#ifndef RUNTIME_COMM_CHECK_TRANSFERS_H_
#define RUNTIME_COMM_CHECK_TRANSFERS_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/comm/communicator.h"

namespace millrace {

// INVALID_ARGUMENT for a peer that is no other rank, and for bytes at no address.
absl::Status CheckTransfersWithOthers(int rank, int size, absl::Span<const Transfer> group);

}  // namespace millrace

#endif  // RUNTIME_COMM_CHECK_TRANSFERS_H_
