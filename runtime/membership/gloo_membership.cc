// Ranks that meet at a coordinator and talk over gloo, or over NCCL with gloo for what the host says. Each rank here
// has its own seat at the rendezvous, taken on the rank's own thread.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/gloo/gloo.h"
#include "runtime/comm/nccl/nccl.h"
#include "runtime/membership/kinds.h"
#include "runtime/membership/own_address.h"
#include "runtime/membership/seats.h"
#include "runtime/membership/shared_token.h"
#include "runtime/rendezvous/environment.h"

namespace millrace {
namespace {

constexpr absl::Duration kTokenRetry = absl::Milliseconds(200);

// As the launcher says, or because nobody else could come.
bool OnOneMachine(const LaunchContract& contract) {
  return contract.local_size == contract.size ||
         (contract.coordinator.has_value() && IsLoopback(contract.coordinator->host));
}

std::string Variable(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

class GlooMembership : public Membership {
 public:
  explicit GlooMembership(const MembershipOptions& options) : options_(options) {}
  ~GlooMembership() override {
    if (owns_token_file_) unlink(join_.token_file.c_str());
  }

  absl::Status Prepare();
  std::vector<int> here() const override { return RanksOf(options_.contract); }
  int on_this_host() const override {
    return OnOneMachine(options_.contract) ? options_.contract.size : options_.contract.local_size;
  }
  int local_rank() const override { return options_.contract.local_rank; }
  MakeCommunicatorFn make_communicator() override {
    return [this](int rank) { return Join(rank); };
  }
  MakeStandFn make_stand() override {
    return [this](int rank) { return seats_.NotesOf(rank); };
  }
  absl::Status End(const absl::Status& mine) override { return seats_.End(mine); }

 private:
  absl::Status PrepareToken();
  absl::Status StartCoordinator(const Endpoint& at, bool here_only);
  absl::StatusOr<std::shared_ptr<Communicator>> Join(int rank);
  absl::StatusOr<std::unique_ptr<RendezvousClient>> TakeSeat(int rank) const;
  absl::StatusOr<std::string> Host() const;

  const MembershipOptions options_;
  RendezvousOptions join_;  // but for the rank
  bool found_token_ = false;
  std::atomic<bool> owns_token_file_ = false;
  Seats seats_;
};

absl::Status GlooMembership::Prepare() {
  const LaunchContract& contract = options_.contract;
  if (!contract.coordinator.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        contract.source, " says which rank this is, but not where ranks meet; add --coordinator=HOST:PORT"));
  }
  const bool one_machine = OnOneMachine(contract);
  Endpoint at = *contract.coordinator;
  if (one_machine) at.host = "127.0.0.1";
  join_.coordinator = ToString(at);
  join_.identity.job = Variable(kJobVariable, Variable("TORCHELASTIC_RUN_ID", "millrace").c_str());
  join_.identity.plan_hash = options_.plan_hash;
  join_.identity.version = options_.version;
  join_.identity.size = contract.size;
  const std::string restart = Variable(kRestartVariable, Variable("TORCHELASTIC_RESTART_COUNT", "0").c_str());
  if (!absl::SimpleAtoi(restart, &join_.identity.incarnation) || join_.identity.incarnation < 0) {
    return absl::FailedPreconditionError(absl::StrCat("the number of restarts is '", restart.substr(0, 32), "'"));
  }
  if (!one_machine) join_.tls = options_.tls;  // nothing leaves a loopback, whose name no certificate has
  join_.insecure = options_.insecure;
  join_.patience = options_.join_within;
  MR_RETURN_IF_ERROR(PrepareToken());
  // The supervisor, which alone sets this variable, runs the coordinator itself.
  const bool supervised = contract.source_key == "millrace" && std::getenv(kRestartVariable) != nullptr;
  return contract.rank == 0 && !supervised ? StartCoordinator(at, one_machine) : absl::OkStatus();
}

absl::Status GlooMembership::PrepareToken() {
  join_.token_file = options_.token_file.empty() ? Variable(kTokenFileVariable, "") : options_.token_file;
  if (!join_.token_file.empty()) return absl::OkStatus();
  if (!OnOneMachine(options_.contract)) {
    return absl::FailedPreconditionError(
        "ranks on several machines need a secret that they share: give every process the same --token-file=FILE, of 16 "
        "bytes or more that only its owner can read");
  }
  found_token_ = true;
  join_.token_file = SharedTokenPath(options_.contract.coordinator->port);
  return absl::OkStatus();
}

absl::Status GlooMembership::StartCoordinator(const Endpoint& at, bool here_only) {
  ServerOptions server;
  server.identity = join_.identity;
  if (found_token_) {
    MR_ASSIGN_OR_RETURN(server.token, LeaveSharedToken(join_.token_file));
    owns_token_file_ = true;
  } else {
    MR_ASSIGN_OR_RETURN(server.token, JobToken::FromFile(join_.token_file));
  }
  server.bind = absl::StrCat(here_only || IsLoopback(at.host) ? "127.0.0.1" : "0.0.0.0", ":", at.port);
  server.tls = join_.tls;
  server.insecure = options_.insecure;
  server.host_rank = options_.contract.rank;
  server.roster.silence = options_.heartbeat_timeout;
  join_.token = server.token;
  return seats_.Host(server);
}

// What an earlier job left in the place of the token is refused, and replaced by rank 0 a moment later.
absl::StatusOr<std::unique_ptr<RendezvousClient>> GlooMembership::TakeSeat(int rank) const {
  RendezvousOptions options = join_;
  options.rank = rank;
  const absl::Time deadline = absl::Now() + options.patience;
  while (true) {
    absl::StatusOr<std::unique_ptr<RendezvousClient>> client = RendezvousClient::Join(options);
    const bool again = absl::IsUnauthenticated(client.status()) && found_token_ && seats_.coordinator() == nullptr;
    if (!again || absl::Now() + kTokenRetry >= deadline) return client;
    absl::SleepFor(kTokenRetry);
  }
}

absl::StatusOr<std::string> GlooMembership::Host() const {
  if (!options_.host.empty()) return options_.host;
  if (OnOneMachine(options_.contract)) return std::string("127.0.0.1");
  return OwnAddressTowards(options_.contract.coordinator->host, options_.contract.coordinator->port);
}

absl::StatusOr<std::shared_ptr<Communicator>> GlooMembership::Join(int rank) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<RendezvousClient> joined, TakeSeat(rank));
  RendezvousClient* const seat = seats_.Take(rank, std::move(joined));
  // All have joined: nobody looks for the token any more.
  if (owns_token_file_.exchange(false)) unlink(join_.token_file.c_str());
  GlooOptions gloo;
  gloo.waits = options_.waits;
  gloo.waits.report = seats_.ReportFor(seat);
  gloo.interface = options_.interface;
  MR_ASSIGN_OR_RETURN(gloo.host, Host());
  absl::StatusOr<std::unique_ptr<Communicator>> connected = MakeGlooCommunicator(seat->exchange(), gloo);
  if (connected.ok() && options_.transport == TransportKind::kNccl) {
    NcclOptions nccl;
    nccl.waits = gloo.waits;
    nccl.groups = options_.nccl_groups;
    nccl.one_communicator = options_.one_nccl_communicator;
    connected = MakeNcclCommunicator(&seat->exchange(), *std::move(connected), nccl);
  }
  if (!connected.ok()) return seat->ReportFailure(connected.status()).status();
  const std::shared_ptr<Communicator> made = *std::move(connected);
  seats_.Watch(rank, made);
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> MakeGlooMembership(const MembershipOptions& options) {
  auto membership = std::make_unique<GlooMembership>(options);
  MR_RETURN_IF_ERROR(membership->Prepare());
  return membership;
}

}  // namespace millrace
