// Each rank sends its value to each other one; messages between two ranks come in order.
#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/library.h"
#include "runtime/comm/mpi/mpi.h"

namespace millrace {
namespace mpi {
namespace {

constexpr int kTag = 1;
constexpr auto kPause = std::chrono::microseconds(200);

class MpiExchange : public Exchange {
 public:
  MpiExchange(Library* library, MPI_Comm world) : library_(library), world_(world) {
    MPI_Comm_rank(world, &rank_);
    MPI_Comm_size(world, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view key, absl::string_view mine,
                                                     absl::Time deadline) override {
    if (mine.size() > 64 << 10) {
      return absl::InvalidArgumentError(absl::StrCat("'", key, "': ", mine.size(), " bytes; at most 64 KiB"));
    }
    sent_.push_back(absl::StrCat(key, absl::string_view("\0", 1), mine));
    std::vector<std::string> values(size_);
    std::vector<bool> here(size_, false);
    values[rank_] = std::string(mine);
    here[rank_] = true;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_) MR_RETURN_IF_ERROR(Send(peer, sent_.back()));
    }
    while (std::count(here.begin(), here.end(), false) > 0) {
      for (int peer = 0; peer < size_; ++peer) {
        if (here[peer]) continue;
        MR_ASSIGN_OR_RETURN(here[peer], Receive(peer, key, &values[peer]));
      }
      if (absl::Now() > deadline) break;
      std::this_thread::sleep_for(kPause);
    }
    std::string missing;
    for (int peer = 0; peer < size_; ++peer) {
      if (!here[peer]) absl::StrAppend(&missing, " ", peer);
    }
    if (missing.empty()) return values;
    library_->LeaveUnfinalized();
    return absl::DeadlineExceededError(absl::StrCat("'", key, "': no word from ranks", missing));
  }

 private:
  absl::Status Send(int peer, const std::string& message) {
    std::lock_guard<std::mutex> lock(library_->mutex());
    MPI_Request request;
    MR_RETURN_IF_ERROR(ToStatus(MPI_Isend(message.data(), static_cast<int>(message.size()), MPI_BYTE, peer, kTag,
                                          world_, &request),
                                "MPI_Isend"));
    return ToStatus(MPI_Request_free(&request), "MPI_Request_free");
  }

  // True when the peer's value has come.
  absl::StatusOr<bool> Receive(int peer, absl::string_view key, std::string* value) {
    std::lock_guard<std::mutex> lock(library_->mutex());
    int there = 0, bytes = 0;
    MPI_Status status;
    MR_RETURN_IF_ERROR(ToStatus(MPI_Iprobe(peer, kTag, world_, &there, &status), "MPI_Iprobe"));
    if (!there) return false;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    std::string message(bytes, '\0');
    MR_RETURN_IF_ERROR(
        ToStatus(MPI_Recv(message.data(), bytes, MPI_BYTE, peer, kTag, world_, MPI_STATUS_IGNORE), "MPI_Recv"));
    const size_t end = message.find('\0');
    if (end == std::string::npos || absl::string_view(message).substr(0, end) != key) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank_, " exchanges '", key, "' and rank ", peer, " '",
                                                        message.substr(0, end), "'"));
    }
    *value = message.substr(end + 1);
    return true;
  }

  Library* const library_;
  const MPI_Comm world_;
  int rank_ = 0, size_ = 0;
  // Never freed: a slow rank may still be reading when this exchange has gone or given up.
  std::deque<std::string>& sent_ = *new std::deque<std::string>;
};

}  // namespace
}  // namespace mpi

absl::StatusOr<std::unique_ptr<Exchange>> MakeMpiExchange() {
  MR_ASSIGN_OR_RETURN(mpi::Library * library, mpi::Library::Get());
  MR_ASSIGN_OR_RETURN(const MPI_Comm world, library->NewWorld());
  return std::make_unique<mpi::MpiExchange>(library, world);
}

}  // namespace millrace
