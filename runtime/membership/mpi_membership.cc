// Ranks of MPI_COMM_WORLD. mpirun starts them, sees them end and removes the rest; what it cannot do, to notice a rank
// that hangs and to say where each one stands, the coordinator does here too. MPI itself carries its address and its
// token, so neither lies in a file.
#include <unistd.h>

#include <climits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/membership/kinds.h"
#include "runtime/membership/own_address.h"
#include "runtime/membership/seats.h"

namespace millrace {
namespace {

// Rank 0's error in place of a coordinator: every rank reports it, so that it is not one of them that seems to fail.
constexpr char kError[] = "error";

std::string AsWords(const absl::Status& status) {
  return absl::StrCat(kError, " ", status.raw_code(), " ", status.message());
}

absl::Status FromWords(const std::string& said) {
  const std::vector<std::string> words = absl::StrSplit(said, absl::MaxSplits(' ', 2));
  int code = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[1], &code)) return absl::InternalError(said);
  return absl::Status(static_cast<absl::StatusCode>(code), absl::StrCat("rank 0: ", words[2]));
}

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
  absl::Status CheckEncryption() const;
  absl::StatusOr<std::shared_ptr<Communicator>> Join(int rank);
  // What the others need to find it: "HOST:PORT TOKEN ADDRESS,ADDRESS...".
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

// Beyond one machine the control service needs certificates or permission to do without, as everywhere. All ranks have
// the same flags, so each finds out by itself, and none waits for one that has gone.
absl::Status MpiMembership::CheckEncryption() const {
  if (one_machine() || options_.insecure || !options_.tls.authority.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the ranks are on several machines, and the connections by which rank 0 watches them would not be encrypted: "
      "give "
      "--tls-certificate, --tls-key (for rank 0) and --tls-authority, or say --insecure if the network is yours alone");
}

absl::StatusOr<std::string> MpiMembership::HostCoordinator() {
  ServerOptions server;
  server.identity = Identity();
  server.token = JobToken::Random();
  server.bind = one_machine() ? "127.0.0.1:0" : "0.0.0.0:0";
  if (!one_machine()) server.tls = options_.tls;  // nothing leaves a loopback, whose name no certificate has
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
  return absl::StrCat(at, " ", server.token.text(), " ", absl::StrJoin(AddressesBeyondLoopback(), ","));
}

// A machine's own name for itself may mean nothing elsewhere, in pods for example. Certificates are for the name all
// the same.
Resolver ByNameOrElse(std::vector<std::string> addresses) {
  return [addresses = std::move(addresses)](const std::string& host) {
    absl::StatusOr<std::vector<std::string>> found = ResolveWithSystem(host);
    return found.ok() || addresses.empty() ? found : addresses;
  };
}

absl::StatusOr<RendezvousClient*> MpiMembership::TakeSeat(int rank) {
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Exchange> exchange, MakeMpiExchange());
  const absl::StatusOr<std::string> hosted = rank == 0 ? HostCoordinator() : std::string();
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> said,
                      exchange->AllGather("coordinator", hosted.ok() ? *hosted : AsWords(hosted.status()),
                                          absl::Now() + options_.join_within));
  const std::vector<std::string> words = absl::StrSplit(said[0], ' ');
  if (words[0] == kError) return FromWords(said[0]);
  if (words.size() != 3) return absl::InternalError(absl::StrCat("rank 0 names no coordinator: '", said[0], "'"));
  RendezvousOptions join;
  join.coordinator = words[0];
  MR_ASSIGN_OR_RETURN(join.token, JobToken::FromText(words[1]));
  join.resolve = ByNameOrElse(absl::StrSplit(words[2], ',', absl::SkipEmpty()));
  join.identity = Identity();
  join.rank = rank;
  if (!one_machine()) join.tls = options_.tls;
  join.insecure = options_.insecure;
  join.patience = options_.join_within;
  MR_ASSIGN_OR_RETURN(std::unique_ptr<RendezvousClient> client, RendezvousClient::Join(join));
  return seats_.Take(rank, std::move(client));
}

absl::StatusOr<std::shared_ptr<Communicator>> MpiMembership::Join(int rank) {
  MR_RETURN_IF_ERROR(CheckEncryption());
  MR_ASSIGN_OR_RETURN(RendezvousClient* const seat, TakeSeat(rank));
  CommunicatorOptions waits = options_.waits;
  waits.report = seats_.ReportFor(seat);
  absl::StatusOr<std::unique_ptr<Communicator>> connected = MakeMpiCommunicator(waits);
  if (!connected.ok()) return seat->ReportFailure(connected.status()).status();
  const std::shared_ptr<Communicator> made = *std::move(connected);
  seats_.Watch(rank, made);
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
