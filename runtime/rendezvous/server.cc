#include "runtime/rendezvous/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/rendezvous/address.h"
#include "runtime/rendezvous/credentials.h"
#include "runtime/rendezvous/listener.h"
#include "runtime/rendezvous/visitor.h"

namespace millrace {
namespace {

constexpr int kHandshakeMs = 5000;  // for TLS and HTTP/2
constexpr int kIdleMs = 10000;      // a connection that opens no stream
constexpr int kMetadataBytes = 4096;
constexpr int kStreamsOfConnection = 4;
constexpr size_t kMostStrangers = 256;

Roster::Instant Now() { return std::chrono::steady_clock::now(); }

RosterOptions WithHost(const ServerOptions& options) {
  RosterOptions roster = options.roster;
  roster.host_rank = options.host_rank;
  return roster;
}

// Sent away before it could say anything.
class Refusal : public grpc::ServerBidiReactor<proto::FromRank, proto::ToRank> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class Server : public RendezvousServer, public proto::Rendezvous::CallbackService {
 public:
  explicit Server(const ServerOptions& options)
      : options_(options),
        roster_(options.identity, WithHost(options), options.on_failure, Now()),
        door_{&roster_, options.token, options.roster, options.host_rank,
              [this](Visitor* visitor) { Forget(visitor); }} {}

  ~Server() override {
    roster_.Close();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
      for (const auto& [raw, visitor] : visitors_) visitor->Cancel();
    }
    changed_.notify_all();
    if (ticker_.joinable()) ticker_.join();
    listener_.reset();
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return visitors_.empty(); });
  }

  absl::Status Listen() {
    MR_ASSIGN_OR_RETURN(HostPort where, ParseHostPort(options_.bind));
    MR_ASSIGN_OR_RETURN(const auto credentials, ServerSide(options_.tls, where.host, options_.insecure));
    MR_RETURN_IF_ERROR(ReserveDescriptors(options_.identity.size));
    if (where.host == "localhost") where.host = "127.0.0.1";
    MR_ASSIGN_OR_RETURN(listener_, Listener::Open(where));
    where.port = listener_->port();
    address_ = where.ToString();

    grpc::ServerBuilder builder;
    Configure(&builder);
    using Builder = grpc::ServerBuilder::experimental_type;
    acceptor_ =
        builder.experimental().AddExternalConnectionAcceptor(Builder::ExternalConnectionType::FROM_FD, credentials);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError(absl::StrCat("gRPC does not start a server at ", address_));
    listener_->Start([this](int descriptor) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.fd = descriptor;
      acceptor_->HandleNewConnection(&connection);
    });
    ticker_ = std::thread([this] { Tick(); });
    return absl::OkStatus();
  }

  grpc::ServerBidiReactor<proto::FromRank, proto::ToRank>* Attend(grpc::CallbackServerContext* call) override {
    std::shared_ptr<Visitor> visitor;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closing_) return new Refusal({grpc::StatusCode::UNAVAILABLE, "the job has ended"});
      if (visitors_.size() >= options_.identity.size + kMostStrangers) {
        return new Refusal({grpc::StatusCode::UNAVAILABLE, "too many connections that have not joined; try again"});
      }
      visitor = std::make_shared<Visitor>(&door_, call);
      visitors_[visitor.get()] = visitor;
    }
    visitor->Begin();
    return visitor.get();
  }

  std::string address() const override { return address_; }
  std::optional<JobFailure> failure() const override { return roster_.failure(); }
  bool complete() const override { return roster_.complete(); }
  bool HasJoined(int rank) const override { return roster_.HasJoined(rank); }
  void Fail(const JobFailure& failure) override { roster_.Fail(failure); }
  std::string Report() const override { return roster_.Report(Now()); }
  bool AwaitEmpty(absl::Duration patience) const override { return roster_.AwaitEmpty(patience); }

 private:
  void Configure(grpc::ServerBuilder* builder) const {
    builder->SetMaxReceiveMessageSize(static_cast<int>(kMostValueBytes + kMostKeyBytes + 16384));
    builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
    builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytes);
    builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsOfConnection);
    // Whoever hangs is found by his silence; keepalive only closes what is left of the connection afterwards.
    const int silence_ms = static_cast<int>(absl::ToInt64Milliseconds(options_.roster.silence));
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 2 * silence_ms);
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2 * silence_ms);
    grpc::ResourceQuota quota("rendezvous");
    quota.Resize((size_t{64} << 20) + options_.identity.size * (size_t{512} << 10));
    builder->SetResourceQuota(quota);
  }

  void Tick() {
    const auto pause = absl::ToChronoNanoseconds(options_.roster.beat / 2);
    std::unique_lock<std::mutex> lock(mutex_);
    while (!changed_.wait_for(lock, pause, [this] { return closing_; })) {
      const Roster::Instant oldest = Now() - absl::ToChronoNanoseconds(options_.stranger_patience);
      std::vector<std::shared_ptr<Visitor>> strangers;
      for (const auto& [raw, visitor] : visitors_) {
        if (visitor->IsStrangerSince(oldest)) strangers.push_back(visitor);
      }
      lock.unlock();
      for (const auto& stranger : strangers) stranger->Cancel();
      strangers.clear();
      roster_.Tick(Now());
      lock.lock();
    }
  }

  void Forget(Visitor* visitor) {
    std::shared_ptr<Visitor> last;  // dies after the lock is released
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = visitors_.find(visitor);
    last = std::move(found->second);
    visitors_.erase(found);
    changed_.notify_all();
  }

  const ServerOptions options_;
  Roster roster_;
  Door door_;
  std::string address_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
  std::thread ticker_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closing_ = false;
  std::map<Visitor*, std::shared_ptr<Visitor>> visitors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RendezvousServer>> RendezvousServer::Start(const ServerOptions& options) {
  if (options.token.empty())
    return absl::InvalidArgumentError("a rendezvous needs a token; JobToken::Random() makes one");
  if (options.identity.size < 1) return absl::InvalidArgumentError("a job needs at least one rank");
  if (options.roster.beat < absl::Milliseconds(1) || options.roster.silence < 3 * options.roster.beat) {
    return absl::InvalidArgumentError(
        absl::StrCat("the heartbeat timeout (", absl::FormatDuration(options.roster.silence),
                     ") must be at least three heartbeats (of ", absl::FormatDuration(options.roster.beat), ")"));
  }
  QuietGrpc();
  auto server = std::make_unique<Server>(options);
  MR_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace millrace
