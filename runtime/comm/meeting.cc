#include "runtime/comm/meeting.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {

absl::Status Meeting::Gather(const void* mine, void* all, uint64_t bytes, const Swap& swap) {
  const uint64_t number = number_;
  number_ += 2;
  Slip slip;
  slip.bytes = bytes;
  const bool fits = bytes <= sizeof(slip.payload);
  if (fits && bytes > 0) std::memcpy(slip.payload, mine, bytes);
  MR_RETURN_IF_ERROR(swap(number, &slip, slips_.data(), sizeof(Slip)));
  for (size_t r = 0; r < slips_.size(); ++r) {
    if (slips_[r].bytes == slips_[0].bytes) continue;
    return absl::InvalidArgumentError(absl::StrCat("rank 0 gives ", slips_[0].bytes, " bytes to collective ",
                                                   number / 2, " and rank ", r, " gives ", slips_[r].bytes));
  }
  if (!fits) return swap(number + 1, mine, all, bytes);
  for (size_t r = 0; r < slips_.size() && bytes > 0; ++r) {
    std::memcpy(static_cast<char*>(all) + r * bytes, slips_[r].payload, bytes);
  }
  return absl::OkStatus();
}

}  // namespace millrace
