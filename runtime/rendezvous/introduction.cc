#include "runtime/rendezvous/introduction.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/log/log.h"
#include "runtime/rendezvous/credentials.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Instant = std::chrono::steady_clock::time_point;

constexpr int kMostMessageBytes = 1 << 20;
constexpr auto kAnswerPatience = seconds(10);  // for one attempt
constexpr auto kFirstPause = milliseconds(20), kLongestPause = milliseconds(1000);
constexpr auto kSayWaiting = seconds(5);

Instant Now() { return std::chrono::steady_clock::now(); }

// What may be better in a moment. The coordinator's refusals are not.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsInternal(status) ||
         absl::IsUnknown(status) || absl::IsNotFound(status);
}

// What gRPC says where the other side has no certificate, or not one for us.
bool IsAboutTrust(const absl::Status& status) {
  return absl::StrContains(status.message(), "Ssl handshake failed") ||
         absl::StrContains(status.message(), "is not in peer certificate");
}

class Introducer {
 public:
  Introducer(const RendezvousOptions& options, Instant deadline) : options_(options), deadline_(deadline) {}

  absl::StatusOr<Introduced> Run() {
    MR_ASSIGN_OR_RETURN(where_, ParseHostPort(options_.coordinator));
    if (where_.port == 0) return absl::InvalidArgumentError("the coordinator's port cannot be 0");
    MR_ASSIGN_OR_RETURN(credentials_, RankSide(options_.tls, where_.host, options_.insecure));
    Instant say_at = Now() + kSayWaiting;
    auto pause = kFirstPause;
    while (true) {
      absl::StatusOr<Introduced> introduced = TryAddresses();
      if (introduced.ok() || !MayPass(introduced.status())) return introduced;
      if (IsAboutTrust(introduced.status())) distrust_ = introduced.status();
      if (Now() + pause >= deadline_) return GiveUp(introduced.status());
      if (Now() >= say_at) {
        Log(LogLevel::kInfo,
            absl::StrCat("waiting for the coordinator at ", options_.coordinator, ": ", introduced.status().message()));
        say_at = Now() + 4 * kSayWaiting;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min<milliseconds>(pause * 3 / 2, kLongestPause);
    }
  }

 private:
  // Distrust says more than what came after it: a coordinator that nobody trusts soon ends, and refuses connections.
  absl::Status GiveUp(const absl::Status& last) const {
    if (!distrust_.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rank ", options_.rank, ": the coordinator at ", options_.coordinator, " cannot be trusted: ",
          distrust_.message(), ". --tls-certificate must be for ", where_.host, " and signed by --tls-authority"));
    }
    return absl::DeadlineExceededError(
        absl::StrCat("rank ", options_.rank, ": no way to the coordinator at ", options_.coordinator, " within ",
                     absl::FormatDuration(options_.patience), "; the last attempt: ", last.message(),
                     ". Is the coordinator (the supervisor, or rank 0) running there?"));
  }

  absl::StatusOr<Introduced> TryAddresses() {
    if (token_.empty()) {
      token_ = options_.token;
      if (token_.empty()) {
        MR_ASSIGN_OR_RETURN(token_, JobToken::FromFile(options_.token_file));
      }
    }
    MR_ASSIGN_OR_RETURN(const std::vector<std::string> addresses, options_.resolve(where_.host));
    absl::Status last = absl::UnavailableError(absl::StrCat("the name '", where_.host, "' has no address"));
    for (const std::string& address : addresses) {
      absl::StatusOr<Introduced> introduced = Try(address);
      if (introduced.ok() || !MayPass(introduced.status())) return introduced;
      last = introduced.status();
    }
    return last;
  }

  absl::StatusOr<Introduced> Try(const std::string& address) const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);          // http_proxy is for the web
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // an attempt does not wait for an earlier one's back-off
    if (!options_.tls.authority.empty()) arguments.SetSslTargetNameOverride(where_.host);
    Introduced introduced;
    introduced.stream = std::make_unique<ClientStream>(
        grpc::CreateCustomChannel(GrpcTarget(address, where_.port), credentials_, arguments));
    ClientStream& stream = *introduced.stream;

    const std::string own_nonce = RandomBytes(kNonceBytes);
    proto::FromRank hello;
    hello.mutable_hello()->set_protocol(kControlProtocol);
    hello.mutable_hello()->set_nonce(own_nonce);
    stream.Send(std::move(hello));
    MR_ASSIGN_OR_RETURN(const proto::ToRank challenge, Answer(stream));
    if (!challenge.has_challenge() || challenge.challenge().nonce().size() != kNonceBytes) return NoCoordinator();

    const std::string& its_nonce = challenge.challenge().nonce();
    const std::string claim = Claim();
    proto::FromRank join;
    join.mutable_join()->set_claim(claim);
    join.mutable_join()->set_proof(token_.Prove("rank", own_nonce, its_nonce, claim));
    stream.Send(std::move(join));
    MR_ASSIGN_OR_RETURN(const proto::ToRank answer, Answer(stream));
    if (!answer.has_welcome()) return NoCoordinator();
    introduced.welcome = answer.welcome();
    if (!token_.Accepts(introduced.welcome.proof(), "coordinator", own_nonce, its_nonce, claim)) {
      return absl::UnauthenticatedError(absl::StrCat("what listens at ", options_.coordinator,
                                                     " does not have the job's token: it is not our coordinator"));
    }
    return introduced;
  }

  absl::StatusOr<proto::ToRank> Answer(ClientStream& stream) const {
    proto::ToRank word;
    absl::Status end;
    switch (stream.Next(std::min(deadline_, Now() + kAnswerPatience), &word, &end)) {
      case ClientStream::Event::kWord:
        return word;
      case ClientStream::Event::kEnd:
        return end.ok() ? absl::UnavailableError("the coordinator closed the connection") : end;
      case ClientStream::Event::kNothing:
        break;
    }
    return absl::UnavailableError("no answer");
  }

  absl::Status NoCoordinator() const {
    return absl::FailedPreconditionError(
        absl::StrCat("what listens at ", options_.coordinator, " is not a coordinator that this version understands"));
  }

  std::string Claim() const {
    proto::Claim claim;
    claim.set_job(options_.identity.job);
    claim.set_plan_hash(options_.identity.plan_hash);
    claim.set_version(options_.identity.version);
    claim.set_rank(options_.rank);
    claim.set_size(options_.identity.size);
    claim.set_incarnation(options_.identity.incarnation);
    return claim.SerializeAsString();
  }

  const RendezvousOptions& options_;
  const Instant deadline_;
  HostPort where_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  JobToken token_;
  absl::Status distrust_;  // the last reason for it
};

}  // namespace

absl::StatusOr<Introduced> Introduce(const RendezvousOptions& options, Instant deadline) {
  return Introducer(options, deadline).Run();
}

}  // namespace millrace
