// The time limits of one wait, and what is said when they pass. Belongs to the thread that waits.
#ifndef RUNTIME_COMM_PATIENCE_H_
#define RUNTIME_COMM_PATIENCE_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "runtime/comm/communicator.h"

namespace millrace {

class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  // The wait begins now. `options` must outlive it.
  explicit Patience(const CommunicatorOptions& options);

  // Overdue has nothing to do before.
  Clock::time_point next() const { return next_; }
  double seconds() const;

  // To be called once next() has passed. The first time it prints one warning to stderr; at the end it returns
  // DEADLINE_EXCEEDED. `what` describes the wait; it and CommunicatorOptions::report are called only here.
  absl::Status Overdue(const std::function<std::string()>& what);

 private:
  const Clock::time_point start_;
  const Clock::time_point end_;
  Clock::time_point next_;
  const std::function<std::string()>& report_;
};

// Looks before a thread parks, each followed by a yield: some 20 us on an idle machine. Where `ranks` ranks must take
// turns on the cores, the one that is waited for needs the core more.
int SpinsBeforeParking(int ranks);

}  // namespace millrace

#endif  // RUNTIME_COMM_PATIENCE_H_
