// Threads that stand for the processes of one run: each has its own Ranks or its own Trainer, and they are joined by
// in_process communicators alone.
#ifndef TESTS_RUNTIME_JOB_PROCESSES_H_
#define TESTS_RUNTIME_JOB_PROCESSES_H_

#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/comm/communicator.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Which ranks each process has: {{0}, {1, 2}} is two processes.
using Split = std::vector<std::vector<int>>;

inline Split OneEach(int ranks) {
  Split split;
  for (int rank = 0; rank < ranks; ++rank) split.push_back({rank});
  return split;
}

inline MakeCommunicatorFn JoinedCommunicators(int ranks) {
  auto made = std::make_shared<std::vector<std::unique_ptr<Communicator>>>(MakeInProcessCommunicators(ranks));
  return [made](int rank) -> absl::StatusOr<std::shared_ptr<Communicator>> { return std::move((*made)[rank]); };
}

// Runs `process` once for each process of the split, all at the same time, and joins them.
inline void RunProcesses(const Split& split, const std::function<void(size_t process)>& process) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < split.size(); ++i) threads.emplace_back([&process, i] { process(i); });
  for (std::thread& thread : threads) thread.join();
}

// The same with connected Ranks, which have no devices yet; what each returned.
inline std::vector<absl::Status> WithRanks(const proto::ExecutionPlan& plan, const Split& split,
                                           const std::function<absl::Status(Ranks*)>& body) {
  std::vector<absl::Status> statuses(split.size());
  const MakeCommunicatorFn make = JoinedCommunicators(plan.ranks_size());
  RunProcesses(split, [&](size_t i) {
    RanksOptions options;
    options.here = split[i];
    options.make_communicator = make;
    absl::StatusOr<std::unique_ptr<Ranks>> ranks = Ranks::Connect(plan, options);
    statuses[i] = ranks.status();
    if (!ranks.ok()) return;
    statuses[i] = body(ranks->get());
    if (!statuses[i].ok()) (*ranks)->Abort(statuses[i]);
  });
  return statuses;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_JOB_PROCESSES_H_
