// The coordinator's end of one connection: greets, asks for proof of the token, then carries words between the rank and
// the roster.
#ifndef RUNTIME_RENDEZVOUS_VISITOR_H_
#define RUNTIME_RENDEZVOUS_VISITOR_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "proto/control.grpc.pb.h"
#include "runtime/rendezvous/roster.h"
#include "runtime/rendezvous/token.h"

namespace millrace {

// What all visitors of a coordinator share; outlives them.
struct Door {
  Roster* roster = nullptr;
  JobToken token;
  RosterOptions roster_options;
  int host_rank = -1;
  std::function<void(class Visitor*)> forget;  // it is over; the last reference may go
};

// Reactions come from gRPC's threads, one at a time for reads and one at a time for writes; Send, End and Cancel from
// any thread. Kept alive by its owner until `forget`.
class Visitor : public grpc::ServerBidiReactor<proto::FromRank, proto::ToRank>,
                public std::enable_shared_from_this<Visitor> {
 public:
  Visitor(Door* door, grpc::CallbackServerContext* call);

  // Starts to listen. Call when the owner holds it.
  void Begin() { StartRead(&in_); }
  // Queues a message. A peer that does not read is cut off; a roll call waits for the next beat instead of queueing.
  void Send(Roster::Message message);
  // Ends the stream with a status, after the message that is on its way.
  void End(const absl::Status& status);
  // Ends it without waiting for the peer.
  void Cancel() { call_->TryCancel(); }

  // It has not proven the token yet and came before `instant`.
  bool IsStrangerSince(Roster::Instant instant) const;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { door_->forget(this); }

 private:
  absl::Status Heard(const proto::FromRank& word);
  absl::Status Greet(const proto::Hello& hello);
  absl::Status Admit(const proto::Join& join);
  // The connection is of no use any more; the peer gets `status` if it still listens.
  void Gone(const char* how, const absl::Status& status);
  // The mutex is held: the next step of the writing side, to be done after it is released.
  enum class Step { kNothing, kWrite, kFinish };
  Step NextStep();
  // The mutex is not held, because gRPC may react before it returns.
  void Do(Step step);

  Door* const door_;
  grpc::CallbackServerContext* const call_;
  const std::string from_;
  const Roster::Instant came_;
  // By reads only.
  proto::FromRank in_;
  std::string rank_nonce_, own_nonce_;

  mutable std::mutex mutex_;
  int rank_ = -1;  // once admitted
  std::deque<Roster::Message> outbox_;
  size_t outbox_bytes_ = 0;
  Roster::Message on_its_way_;  // while writing_
  bool writing_ = false, ending_ = false, finished_ = false;
  grpc::Status end_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_VISITOR_H_
