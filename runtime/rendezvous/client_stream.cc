#include "runtime/rendezvous/client_stream.h"

#include <utility>

#include "runtime/rendezvous/credentials.h"

namespace millrace {

ClientStream::ClientStream(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)), stub_(proto::Rendezvous::NewStub(channel_)) {
  stub_->async()->Attend(&call_, this);
  AddHold();  // Send starts writes outside of reactions
  StartRead(&in_);
  StartCall();
}

ClientStream::~ClientStream() {
  call_.TryCancel();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return done_; });
}

void ClientStream::Send(proto::FromRank word) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (over_) return;
    outbox_.push_back(std::move(word));
    if (!TakeForWriting()) return;
  }
  StartWrite(&out_);  // outside the mutex, because gRPC may react before it returns
}

bool ClientStream::TakeForWriting() {
  if (writing_ || over_ || outbox_.empty()) return false;
  writing_ = true;
  out_ = std::move(outbox_.front());
  outbox_.pop_front();
  return true;
}

// After the last read, and not between a decision to write and its reaction.
bool ClientStream::ReadyToLetGo() {
  if (!over_ || writing_ || let_go_) return false;
  let_go_ = true;
  return true;
}

void ClientStream::OnReadDone(bool ok) {
  if (ok) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      inbox_.push_back(std::move(in_));
      in_.Clear();
      changed_.notify_all();
    }
    return StartRead(&in_);
  }
  bool let_go;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    let_go = ReadyToLetGo();
  }
  if (let_go) RemoveHold();
}

void ClientStream::OnWriteDone(bool ok) {
  bool more, let_go;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    more = ok && TakeForWriting();
    let_go = ReadyToLetGo();
  }
  if (more) StartWrite(&out_);
  if (let_go) RemoveHold();
}

void ClientStream::OnDone(const grpc::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  end_ = FromGrpc(status);
  done_ = true;
  changed_.notify_all();  // while the mutex is held: the destructor may run as soon as it is free
}

ClientStream::Event ClientStream::Next(Instant until, proto::ToRank* word, absl::Status* end) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_until(lock, until, [this] { return !inbox_.empty() || done_ || woken_; });
  woken_ = false;
  if (!inbox_.empty()) {
    *word = std::move(inbox_.front());
    inbox_.pop_front();
    return Event::kWord;
  }
  if (!done_) return Event::kNothing;
  *end = end_;
  return Event::kEnd;
}

void ClientStream::Wake() {
  std::lock_guard<std::mutex> lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

}  // namespace millrace
