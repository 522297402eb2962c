// Ranks of MPI_COMM_WORLD. mpirun starts them, sees them end and removes the rest; what it cannot do, to notice a rank
// that hangs and to say where each one stands, the coordinator does here too. MPI itself carries its address and its
// token, so neither lies in a file.
#include <unistd.h>

#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/log/log.h"
#include "runtime/membership/kinds.h"
#include "runtime/membership/seats.h"

namespace millrace {
namespace {

class MpiMembership : public Membership {
 public:
  explicit MpiMembership(const MembershipOptions& options) : options_(options) {}

  std::vector<int> here() const override { return {options_.contract.rank}; }
  int on_this_host() const override { return options_.contract.local_size; }
  int local_rank() const override { return options_.contract.local_rank; }
  MakeCommunicatorFn make_communicator() override {
    return [this](int rank) { return Join(rank); };
  }
  MakeStandFn make_stand() override {
    return [this](int rank) { return seats_.NotesOf(rank); };
  }
  // An error has reached the others through the communicator and the coordinator; whoever missed both is ended by
  // mpirun.
  absl::Status End(const absl::Status& mine) override { return seats_.End(mine); }

 private:
  bool one_machine() const { return options_.contract.local_size == options_.contract.size; }
  // Beyond one machine the control service needs a certificate or permission to do without, as everywhere.
  bool MayMeet() const { return one_machine() || options_.insecure || !options_.tls.authority.empty(); }
  absl::StatusOr<std::shared_ptr<Communicator>> Join(int rank);
  // "" where there is to be none.
  absl::StatusOr<std::string> HostCoordinator();
  absl::StatusOr<RendezvousClient*> TakeSeat(int rank);
  JobIdentity Identity() const;

  const MembershipOptions options_;
  Seats seats_;
};

JobIdentity MpiMembership::Identity() const {
  JobIdentity identity;
  identity.job = "mpi";
  identity.plan_hash = options_.plan_hash;
  identity.version = options_.version;
  identity.size = options_.contract.size;
  return identity;
}

absl::StatusOr<std::string> MpiMembership::HostCoordinator() {
  if (!MayMeet()) {
    Log(LogLevel::kInfo,
        "ranks on several machines without --insecure or certificates: a rank that hangs is not noticed before the "
        "time limit of a wait");
    return std::string();
  }
  ServerOptions server;
  server.identity = Identity();
  server.token = JobToken::Random();
  server.bind = one_machine() ? "127.0.0.1:0" : "0.0.0.0:0";
  server.tls = options_.tls;
  server.insecure = options_.insecure;
  server.host_rank = options_.contract.rank;
  server.roster.silence = options_.heartbeat_timeout;
  MR_RETURN_IF_ERROR(seats_.Host(server));
  std::string at = seats_.coordinator()->address();
  if (!one_machine()) {
    char name[HOST_NAME_MAX + 1] = "";
    gethostname(name, sizeof(name) - 1);
    at = absl::StrCat(options_.host.empty() ? name : options_.host.c_str(), at.substr(at.rfind(':')));
  }
  return absl::StrCat(at, " ", server.token.text());
}

// nullptr where there is no coordinator.
absl::StatusOr<RendezvousClient*> MpiMembership::TakeSeat(int rank) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Exchange> exchange, MakeMpiExchange());
  const absl::StatusOr<std::string> hosted = rank == 0 ? HostCoordinator() : std::string();
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> said,
                      exchange->AllGather("coordinator", hosted.ok() ? *hosted : std::string(),
                                          absl::Now() + options_.join_within));
  MR_RETURN_IF_ERROR(hosted.status());
  if (said[0].empty()) return nullptr;
  const std::pair<std::string, std::string> at_and_token = absl::StrSplit(said[0], absl::MaxSplits(' ', 1));
  RendezvousOptions join;
  join.coordinator = at_and_token.first;
  MR_ASSIGN_OR_RETURN(join.token, JobToken::FromText(at_and_token.second));
  join.identity = Identity();
  join.rank = rank;
  join.tls = options_.tls;
  join.insecure = options_.insecure;
  join.patience = options_.join_within;
  MR_ASSIGN_OR_RETURN(std::unique_ptr<RendezvousClient> client, RendezvousClient::Join(join));
  return seats_.Take(rank, std::move(client));
}

absl::StatusOr<std::shared_ptr<Communicator>> MpiMembership::Join(int rank) {
  MR_ASSIGN_OR_RETURN(RendezvousClient* const seat, TakeSeat(rank));
  CommunicatorOptions waits = options_.waits;
  if (seat != nullptr) waits.report = seats_.ReportFor(seat);
  absl::StatusOr<std::unique_ptr<Communicator>> connected = MakeMpiCommunicator(waits);
  if (!connected.ok()) return seat == nullptr ? connected.status() : seat->ReportFailure(connected.status()).status();
  const std::shared_ptr<Communicator> made = *std::move(connected);
  if (seat != nullptr) seats_.Watch(rank, made);
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> MakeMpiMembership(const MembershipOptions& options) {
  if (options.contract.ranks_here > 1) {
    return absl::FailedPreconditionError(
        "--comm=mpi has one rank in a process, but the launcher gave several to this one; use --comm=gloo");
  }
  return std::unique_ptr<Membership>(new MpiMembership(options));
}

}  // namespace millrace
