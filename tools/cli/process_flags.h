// Flags that say how a run is spread over processes, and what follows from them and from the launcher.
#ifndef TOOLS_CLI_PROCESS_FLAGS_H_
#define TOOLS_CLI_PROCESS_FLAGS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/launch/detect.h"
#include "runtime/membership/membership.h"
#include "tools/cli/flags.h"

namespace millrace {

class ProcessFlags {
 public:
  void Declare(FlagSet* flags);

  // What the flags and this process's environment say of the launch.
  absl::StatusOr<LaunchContract> Contract() const;
  // Is this process to start and watch the others: more than threads are asked for, and no launcher has started it?
  absl::StatusOr<bool> Supervises(const LaunchContract& contract) const;
  // This command line once for each rank of the plan, as processes of this machine, until all have ended. The error has
  // the exit code of the whole.
  absl::Status Supervise(const proto::ExecutionPlan& plan, bool prefix) const;
  // This process's part in the run.
  absl::StatusOr<std::unique_ptr<Membership>> Join(const LaunchContract& contract,
                                                   const proto::ExecutionPlan& plan) const;
  // The limits of waits, where all ranks are in this process: Join takes care of them otherwise.
  CommunicatorOptions Waits() const;

 private:
  std::string nccl_communicators_ = "split";
  std::string comm_, coordinator_, token_file_, host_, interface_, tls_certificate_, tls_key_, tls_authority_;
  int64_t rank_ = -1, size_ = -1, local_rank_ = -1;
  uint64_t max_restarts_ = 0, join_seconds_ = 300, heartbeat_seconds_ = 10;
  uint64_t warn_seconds_ = 10, limit_seconds_ = 1800;
  bool insecure_ = false;
};

// How often the launcher has started this job before; 0 where it does not say.
int RestartsSoFar();

// What is to go wrong on purpose (docs/faults.md): MILLRACE_FAULT, in the first start only.
std::string FaultsFromEnvironment();

}  // namespace millrace

#endif  // TOOLS_CLI_PROCESS_FLAGS_H_
