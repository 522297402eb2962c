#include "runtime/comm/check_transfers.h"

#include "absl/strings/str_cat.h"

namespace millrace {

absl::Status CheckTransfersWithOthers(int rank, int size, absl::Span<const Transfer> group) {
  for (const Transfer& transfer : group) {
    if (transfer.peer < 0 || transfer.peer >= size || transfer.peer == rank) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " posts a transfer with rank ", transfer.peer,
                                                     "; the others are 0 to ", size - 1, " without ", rank));
    }
    if (transfer.memory == nullptr && transfer.bytes > 0) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " posts ", transfer.bytes, " bytes at no address"));
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace
