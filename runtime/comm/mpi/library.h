// The MPI library of this process: started once, finalized at exit, and used by one thread at a time.
#ifndef RUNTIME_COMM_MPI_LIBRARY_H_
#define RUNTIME_COMM_MPI_LIBRARY_H_

#include <mpi.h>

#include <atomic>
#include <mutex>

#include "absl/status/statusor.h"

namespace millrace::mpi {

class Library {
 public:
  // Starts MPI at the first call.
  static absl::StatusOr<Library*> Get();

  // A communicator of all ranks with tags of its own. Every rank calls it in the same order. Never freed: MPI frees
  // together with all ranks, and they leave one by one.
  absl::StatusOr<MPI_Comm> NewWorld();

  // Held around every call of MPI.
  std::mutex& mutex() { return mutex_; }
  // The largest tag there is.
  int tag_limit() const { return tag_limit_; }
  // To finalize waits for all ranks: not after an error.
  void LeaveUnfinalized() { finalize_.store(false); }

 private:
  absl::Status Start();
  static void AtExit();

  std::mutex mutex_;
  int tag_limit_ = 32767;
  std::atomic<bool> finalize_{false};
};

// OK, or what MPI says of the error.
absl::Status ToStatus(int code, const char* call);

}  // namespace millrace::mpi

#endif  // RUNTIME_COMM_MPI_LIBRARY_H_
