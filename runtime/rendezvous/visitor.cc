#include "runtime/rendezvous/visitor.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "runtime/rendezvous/credentials.h"

namespace millrace {
namespace {

constexpr size_t kMostOutboxBytes = size_t{512} << 20;
constexpr size_t kMostOutboxMessages = 65536;
constexpr size_t kMostClaimBytes = 4096;

Roster::Instant Now() { return std::chrono::steady_clock::now(); }

}  // namespace

Visitor::Visitor(Door* door, grpc::CallbackServerContext* call)
    : door_(door), call_(call), from_(call->peer()), came_(Now()) {}

void Visitor::Send(Roster::Message message) {
  Step step = Step::kNothing;
  bool too_slow = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (ending_ || (message->has_roll() && writing_)) return;
    outbox_bytes_ += message->ByteSizeLong();
    outbox_.push_back(std::move(message));
    too_slow = outbox_bytes_ > kMostOutboxBytes || outbox_.size() > kMostOutboxMessages;
    if (!too_slow) step = NextStep();
  }
  if (too_slow) return Cancel();
  Do(step);
}

void Visitor::End(const absl::Status& status) {
  Step step;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!ending_) end_ = ToGrpc(status);
    ending_ = true;
    step = NextStep();
  }
  Do(step);
}

bool Visitor::IsStrangerSince(Roster::Instant instant) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return rank_ < 0 && came_ < instant;
}

Visitor::Step Visitor::NextStep() {
  if (writing_ || finished_) return Step::kNothing;
  if (ending_) {
    finished_ = true;
    return Step::kFinish;
  }
  if (outbox_.empty()) return Step::kNothing;
  writing_ = true;
  on_its_way_ = std::move(outbox_.front());
  outbox_.pop_front();
  return Step::kWrite;
}

void Visitor::Do(Step step) {
  if (step == Step::kWrite) StartWrite(on_its_way_.get());
  if (step == Step::kFinish) Finish(end_);
}

void Visitor::OnWriteDone(bool ok) {
  Step step;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    outbox_bytes_ -= on_its_way_->ByteSizeLong();
    on_its_way_.reset();
    if (!ok) ending_ = true;
    step = NextStep();
  }
  Do(step);
}

void Visitor::OnReadDone(bool ok) {
  if (!ok) return Gone("it was closed", absl::OkStatus());
  const absl::Status status = Heard(in_);
  if (!status.ok()) return Gone("it broke the protocol", status);
  StartRead(&in_);
}

void Visitor::OnCancel() { Gone("it was reset", absl::OkStatus()); }

void Visitor::Gone(const char* how, const absl::Status& status) {
  int rank;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    rank = rank_;
  }
  if (rank >= 0) door_->roster->Lose(rank, how, Now());
  End(status);
}

absl::Status Visitor::Heard(const proto::FromRank& word) {
  if (rank_ >= 0) {  // written by this thread's side only
    MR_RETURN_IF_ERROR(door_->roster->Hear(rank_, word, Now()));
    if (word.has_leave()) End(absl::OkStatus());
    return absl::OkStatus();
  }
  if (word.has_hello() && own_nonce_.empty()) return Greet(word.hello());
  if (word.has_join() && !own_nonce_.empty()) return Admit(word.join());
  return absl::InvalidArgumentError("first Hello, then Join");
}

absl::Status Visitor::Greet(const proto::Hello& hello) {
  MR_RETURN_IF_ERROR(CheckProtocol(hello.protocol()));
  if (hello.nonce().size() != kNonceBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a nonce must have ", kNonceBytes, " bytes"));
  }
  rank_nonce_ = hello.nonce();
  own_nonce_ = RandomBytes(kNonceBytes);
  auto message = std::make_shared<proto::ToRank>();
  message->mutable_challenge()->set_nonce(own_nonce_);
  Send(std::move(message));
  return absl::OkStatus();
}

absl::Status Visitor::Admit(const proto::Join& join) {
  // Before the proof nothing of the claim is looked at, and nothing of the job is told.
  if (!door_->token.Accepts(join.proof(), "rank", rank_nonce_, own_nonce_, join.claim())) {
    return absl::UnauthenticatedError(
        "the coordinator there has another token: give every process of the job the same token file, and check the "
        "coordinator's address");
  }
  proto::Claim claim;
  if (join.claim().size() > kMostClaimBytes || !claim.ParseFromString(join.claim())) {
    return absl::InvalidArgumentError("the claim is not one of protocol 1");
  }
  auto message = std::make_shared<proto::ToRank>();
  proto::Welcome& welcome = *message->mutable_welcome();
  welcome.set_proof(door_->token.Prove("coordinator", rank_nonce_, own_nonce_, join.claim()));
  welcome.set_beat_ms(absl::ToInt64Milliseconds(door_->roster_options.beat));
  welcome.set_silence_ms(absl::ToInt64Milliseconds(door_->roster_options.silence));
  welcome.set_host_rank(door_->host_rank);
  const auto outlet = [weak = weak_from_this()](Roster::Message word) {
    if (const std::shared_ptr<Visitor> visitor = weak.lock()) visitor->Send(std::move(word));
  };
  MR_RETURN_IF_ERROR(door_->roster->Enter(claim, from_, std::move(message), outlet, Now()));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    rank_ = static_cast<int>(claim.rank());
    if (!ending_) return absl::OkStatus();
  }
  // The connection was lost while the rank took its seat.
  door_->roster->Lose(static_cast<int>(claim.rank()), "it was reset", Now());
  return absl::OkStatus();
}

}  // namespace millrace
