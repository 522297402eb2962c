// How ranks that cannot talk yet tell each other small things: addresses, versions, plan hashes. Implemented by the
// rendezvous service, by MPI, and in memory for ranks that are threads.
#ifndef RUNTIME_COMM_EXCHANGE_H_
#define RUNTIME_COMM_EXCHANGE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace millrace {

// One for each rank; used by one thread at a time.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every rank calls it with the same key and a value of at most 64 KiB; each gets all values in rank order. A key is
  // used once in a job. DEADLINE_EXCEEDED names the ranks that did not come; when the job has failed, its first error.
  virtual absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view key, absl::string_view mine,
                                                             absl::Time deadline) = 0;
};

// For ranks that are threads of this process; element r belongs to rank r.
std::vector<std::unique_ptr<Exchange>> MakeInProcessExchanges(int size);

}  // namespace millrace

#endif  // RUNTIME_COMM_EXCHANGE_H_
