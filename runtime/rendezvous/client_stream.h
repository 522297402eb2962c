// A rank's end of the connection: what arrives lies in a queue, so that one thread of the owner's choice takes it out.
#ifndef RUNTIME_RENDEZVOUS_CLIENT_STREAM_H_
#define RUNTIME_RENDEZVOUS_CLIENT_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "proto/control.grpc.pb.h"

namespace millrace {

// Send and Wake from any thread, Next by one thread at a time.
class ClientStream : private grpc::ClientBidiReactor<proto::FromRank, proto::ToRank> {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  enum class Event { kWord, kEnd, kNothing };

  explicit ClientStream(std::shared_ptr<grpc::Channel> channel);
  // Cancels the stream and waits until gRPC has let go of it.
  ~ClientStream();

  // Queues a message; it never blocks. After the end nothing is sent.
  void Send(proto::FromRank word);
  // The next word; the end, with its status, again and again once all words are out; nothing when `until` comes or
  // somebody calls Wake.
  Event Next(Instant until, proto::ToRank* word, absl::Status* end);
  void Wake();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  // The mutex is held.
  bool TakeForWriting();
  bool ReadyToLetGo();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<proto::Rendezvous::Stub> stub_;
  grpc::ClientContext call_;
  proto::ToRank in_;
  proto::FromRank out_;  // while writing_

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<proto::ToRank> inbox_;
  std::deque<proto::FromRank> outbox_;
  bool writing_ = false, over_ = false, let_go_ = false, done_ = false, woken_ = false;
  absl::Status end_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_CLIENT_STREAM_H_
