// A communicator that goes wrong on purpose. Always compiled in: what is tested is what runs.
#ifndef RUNTIME_COMM_FAULTY_H_
#define RUNTIME_COMM_FAULTY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/comm/communicator.h"

namespace millrace {

struct Fault {
  enum class Kind {
    kDrop,       // the transfer never meets its other half
    kDelay,      // it is posted `delay` late: by Done or Wait
    kWrongSize,  // it is posted with half its bytes
    kKillWait,   // the `nth` Wait (of any transfer) fails at once, and the communicator is aborted
  };
  Kind kind = Kind::kDrop;
  // The edge: which transfers count. Those with kControlTag never do.
  bool send = true;
  int peer = -1;  // -1: any
  uint64_t nth = 1;  // the first is 1
  absl::Duration delay = absl::ZeroDuration();
};

// "drop:send:peer=1:nth=3, delay:recv:ms=50, wrong-size:send, kill-wait:nth=7". Faults are separated by commas.
absl::StatusOr<std::vector<Fault>> ParseFaults(absl::string_view text);

// `inner` with faults, each of which strikes once. Threads as for any communicator.
std::unique_ptr<Communicator> MakeFaultyCommunicator(std::shared_ptr<Communicator> inner, std::vector<Fault> faults);

}  // namespace millrace

#endif  // RUNTIME_COMM_FAULTY_H_
