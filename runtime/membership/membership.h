// How this process takes part in a run: alone with all ranks of the plan, or with some of them beside the processes
// that a launcher started next to it.
#ifndef RUNTIME_MEMBERSHIP_MEMBERSHIP_H_
#define RUNTIME_MEMBERSHIP_MEMBERSHIP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/nccl/groups.h"
#include "runtime/job/ranks.h"
#include "runtime/launch/detect.h"
#include "runtime/rendezvous/tls_files.h"

namespace millrace {

enum class TransportKind { kInProcess, kGloo, kMpi, kNccl };

// "in_process", "gloo", "mpi" or "nccl". INVALID_ARGUMENT lists them.
absl::StatusOr<TransportKind> ParseTransport(absl::string_view name);
absl::string_view NameOf(TransportKind transport);

// What `name` asks for; with an empty one, what the launch suggests: MPI's ranks use MPI where this build has it, those
// of other launchers gloo, a process alone in_process. FAILED_PRECONDITION when the two do not go together,
// UNIMPLEMENTED when this build lacks it.
absl::StatusOr<TransportKind> ChooseTransport(absl::string_view name, const LaunchContract& contract);

struct MembershipOptions {
  TransportKind transport = TransportKind::kInProcess;
  LaunchContract contract;
  int ranks = 1;          // of the plan
  std::string plan_hash;  // the same in all processes, and so is the version
  std::string version;
  CommunicatorOptions waits;

  // nccl only: what runtime/comm/nccl/nccl.h says of them.
  std::vector<NcclGroup> nccl_groups;
  bool one_nccl_communicator = false;

  // gloo and nccl. The token is a secret that all processes of the job share; without a file for it, one machine's
  // processes find a new one by themselves.
  std::string token_file;
  std::string host;       // address of this machine that peers connect to; empty: the one that leads to the coordinator
  std::string interface;  // instead of `host`
  bool insecure = false;  // plain text beyond loopback is all right
  TlsFiles tls;
  absl::Duration join_within = absl::Minutes(5);
  absl::Duration heartbeat_timeout = absl::Seconds(10);  // where this process runs the coordinator
};

// The names of TrainerOptions: pass them on. Used by one thread, but for make_communicator().
class Membership {
 public:
  // Checks that the launch fits the plan. Joins nobody yet: that happens when make_communicator() is called.
  // FAILED_PRECONDITION: another number of ranks than the plan's; no place to meet; no token.
  static absl::StatusOr<std::unique_ptr<Membership>> Make(const MembershipOptions& options);
  virtual ~Membership() = default;

  virtual std::vector<int> here() const = 0;  // empty: all ranks
  virtual int on_this_host() const = 0;       // 0: those of this process
  virtual int local_rank() const { return 0; }  // of the first rank here, among those of this host
  // Empty where all ranks are in this process. Each rank's communicator once; the membership must outlive them.
  virtual MakeCommunicatorFn make_communicator() = 0;

  // Where ranks note their standpoints for hang reports; empty where nobody reads them.
  virtual MakeStandFn make_stand() { return {}; }

  // The run is over in this process, well or with an error, which the other processes then learn. Returns what is to be
  // reported: the error that came first anywhere. Once, before the communicators are gone.
  virtual absl::Status End(const absl::Status& mine) = 0;
};

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_MEMBERSHIP_H_
