// The thread that looks after what no rank's thread looks at: errors that NCCL notices by itself, aborts from
// elsewhere, and waits on streams, which have no clock. NCCL's kernels spin until their peer comes; only an abort ends
// them.
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "runtime/comm/nccl/device_communicator.h"

namespace millrace::nccl {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(5);

std::string Describe(int rank, const std::vector<Transfer>& transfers) {
  std::string text = absl::StrCat("rank ", rank, ", on a stream:");
  if (transfers.empty()) return text + " a collective";
  for (const Transfer& t : transfers) {
    absl::StrAppend(&text, t.send ? " sends " : " receives ", t.bytes, " bytes ", t.send ? "to" : "from", " rank ",
                    t.peer, " with tag ", absl::Hex(t.tag), &t == &transfers.back() ? "" : ",");
  }
  return text;
}

}  // namespace

void DeviceCommunicator::Watch() {
  std::unique_lock<std::mutex> lock(watcher_mutex_);
  bool ended = false;
  while (!stopping_) {
    watcher_wakes_.wait_for(lock, kLookEvery, [&] { return stopping_ || (abort_now_ && !ended); });
    if (stopping_) return;
    lock.unlock();
    if (!ended && Failure().ok()) {
      absl::Status status = comms_.Check();
      if (status.ok()) status = Overdue();
      if (!status.ok()) control_->Abort(status);
    }
    if (!ended && !Failure().ok()) {
      comms_.Abort();
      ended = true;
    }
    lock.lock();
  }
}

absl::Status DeviceCommunicator::Overdue() {
  const auto now = Patience::Clock::now();
  std::lock_guard<std::mutex> lock(records_mutex_);
  for (Record& record : records_) {
    if (!record.open || !record.device_waits) continue;
    const absl::Duration since = absl::FromChrono(now - record.posted);
    if (since < options_.waits.warn_after || Ready(record)) continue;
    const std::string text = Describe(rank_, record.transfers);
    if (since >= options_.waits.terminate_after) {
      return absl::DeadlineExceededError(
          absl::StrCat(text, ": gave up after ", absl::ToDoubleSeconds(since), " s; is its peer stuck or gone?"));
    }
    if (!record.warned) {
      std::fprintf(stderr, "millrace: %s: %.1f s so far\n", text.c_str(), absl::ToDoubleSeconds(since));
    }
    record.warned = true;
  }
  return absl::OkStatus();
}

}  // namespace millrace::nccl
