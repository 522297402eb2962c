#include "runtime/rendezvous/roster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kMostErrorBytes = 8192;

std::string Seconds(absl::Duration duration) { return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(duration)); }

}  // namespace

Roster::Roster(JobIdentity identity, const RosterOptions& options, std::function<void(const JobFailure&)> on_failure,
               Instant now)
    : options_(options),
      on_failure_(std::move(on_failure)),
      identity_(std::move(identity)),
      seats_(identity_.size),
      rounds_(identity_.size),
      last_tick_(now),
      next_beat_(now) {}

absl::Status Roster::Enter(const proto::Claim& claim, absl::string_view from, Message welcome, Outlet outlet,
                           Instant now) {
  std::lock_guard<std::mutex> lock(mutex_);
  MR_RETURN_IF_ERROR(CheckClaim(identity_, claim, from));
  Seat& seat = seats_[claim.rank()];
  if (seat.taken) {
    return absl::AlreadyExistsError(absl::StrCat("rank ", claim.rank(), " (", from, ") is refused: a rank ",
                                                 claim.rank(), " has joined already, from ", seat.from,
                                                 "; give every process a rank of its own"));
  }
  if (failure_.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", claim.rank(), " (", from, ") comes too late: the job has failed: ", failure_->message));
  }
  if (identity_.plan_hash.empty()) identity_.plan_hash = claim.plan_hash();
  if (identity_.version.empty()) identity_.version = claim.version();
  seat.taken = seat.there = true;
  seat.heard = seat.moved = now;
  seat.from = std::string(from);
  seat.outlet = std::move(outlet);
  ++joined_;
  seat.outlet(std::move(welcome));
  if (joined_ == identity_.size) Tell(RollCall());  // before, the beats tell who is missing
  return absl::OkStatus();
}

absl::Status Roster::Hear(int rank, const proto::FromRank& word, Instant now) {
  std::unique_lock<std::mutex> lock(mutex_);
  absl::Status status = Seated(rank, word, now);
  Publish(lock);
  return status;
}

absl::Status Roster::Seated(int rank, const proto::FromRank& word, Instant now) {
  Seat& seat = seats_[rank];
  seat.heard = now;
  const auto answer = [&seat](auto&& fill) {
    auto message = std::make_shared<proto::ToRank>();
    fill(*message);
    if (seat.outlet) seat.outlet(std::move(message));
  };
  switch (word.word_case()) {
    case proto::FromRank::kBeat:
      if (word.beat().has_position()) {
        seat.position = word.beat().position();
        seat.noted = true;
        seat.moved = now;
      }
      return absl::OkStatus();
    case proto::FromRank::kGather:
      Contribute(rank, word.gather());
      return absl::OkStatus();
    case proto::FromRank::kAskAbsent:
      answer([&](proto::ToRank& message) {
        message.mutable_absent()->set_key(word.ask_absent().key());
        message.mutable_absent()->set_ranks(RankList(rounds_.Absent(word.ask_absent().key())));
      });
      return absl::OkStatus();
    case proto::FromRank::kAskReport:
      answer([&](proto::ToRank& message) { message.mutable_report()->set_text(HangReport(Standings(now))); });
      return absl::OkStatus();
    case proto::FromRank::kFailure:
      Testify(rank, word.failure(), now);
      return absl::OkStatus();
    case proto::FromRank::kLeave:
      seat.left = true;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " says something that this version does not know"));
  }
}

void Roster::Contribute(int rank, const proto::Gather& gather) {
  const absl::Status added = rounds_.Add(gather.key(), rank, gather.value());
  if (!added.ok()) {
    auto refusal = std::make_shared<proto::ToRank>();
    refusal->mutable_gather_refused()->set_key(gather.key());
    refusal->mutable_gather_refused()->set_why(std::string(added.message()));
    if (seats_[rank].outlet) seats_[rank].outlet(std::move(refusal));
    return;
  }
  for (const Message& piece : rounds_.TakeComplete(gather.key())) Tell(piece);
}

void Roster::Testify(int rank, const proto::Failure& word, Instant now) {
  if (failure_.has_value()) return;
  JobFailure failure = FromProto(word);
  failure.kind = JobFailure::Kind::kReported;
  failure.rank = rank;  // it may not accuse another
  failure.message.resize(std::min(failure.message.size(), kMostErrorBytes));
  if (!absl::StartsWith(failure.message, "rank ")) failure.message = absl::StrCat("rank ", rank, ": ", failure.message);
  if (failure.code == absl::StatusCode::kDeadlineExceeded && joined_ == identity_.size && joined_ > 1) {
    // A report that came with it may have been cut on its way; here is all of it.
    const std::vector<Standing> standings = Standings(now);
    failure.message.resize(std::min(failure.message.size(), failure.message.find('\n')));
    absl::StrAppend(&failure.message, "\n", HangReport(standings));
    const HangCause cause = FindHangCause(standings);
    if (cause.rank >= 0) failure.rank = cause.rank;
  }
  if (!IsConsequence(failure.code)) return Decide(std::move(failure));
  seats_[rank].witness = true;
  if (testimony_.has_value()) return;
  testimony_ = std::move(failure);
  testimony_until_ = now + absl::ToChronoNanoseconds(options_.settle);
}

void Roster::Lose(int rank, absl::string_view how, Instant now) {
  std::unique_lock<std::mutex> lock(mutex_);
  Seat& seat = seats_[rank];
  if (!seat.there) return;
  seat.there = false;
  seat.outlet = nullptr;
  const absl::Duration suspension = Suspension(now);
  // A rank that has told of another's end may go: it is not the cause.
  if (!seat.left && !seat.witness && suspension > absl::ZeroDuration() && options_.host_rank >= 0) {
    Decide({JobFailure::Kind::kHung, options_.host_rank, absl::StatusCode::kUnavailable,
            absl::StrCat("rank ", options_.host_rank, " hung: its process, which is the coordinator, was suspended for ",
                         Seconds(suspension), " (the heartbeat timeout is ", Seconds(options_.silence),
                         "), and the others have given it up")});
  } else if (!seat.left && !seat.witness) {
    Decide({JobFailure::Kind::kDied, rank, absl::StatusCode::kUnavailable,
            absl::StrCat("rank ", rank, " died: its connection from ", seat.from, " broke (", how, ")",
                         Whereabouts(rank))});
  }
  emptied_.notify_all();
  Publish(lock);
}

void Roster::Tick(Instant now) {
  std::unique_lock<std::mutex> lock(mutex_);
  // When this process itself was stopped or starved, the ranks' words lie unread: silence then proves nothing.
  const auto late = std::max<absl::Duration>(absl::Seconds(1), options_.silence / 4);
  if (now - last_tick_ > absl::ToChronoNanoseconds(late)) {
    for (Seat& seat : seats_) seat.heard = now;
  }
  if (now - last_tick_ > absl::ToChronoNanoseconds(options_.silence)) {
    suspension_ = Suspension(now);
    woke_ = now;
  }
  last_tick_ = now;
  if (!failure_.has_value()) CheckSilence(now);
  if (!failure_.has_value() && testimony_.has_value() && now >= testimony_until_) Decide(*std::move(testimony_));
  if (now >= next_beat_) {
    Tell(RollCall());
    next_beat_ = now + absl::ToChronoNanoseconds(options_.beat);
  }
  Publish(lock);
}

// How long this process was suspended, now or a moment ago, so that all others must believe that it hangs; zero: it was
// not.
absl::Duration Roster::Suspension(Instant now) const {
  const absl::Duration gap = absl::FromChrono(now - last_tick_);
  if (gap > options_.silence) return gap;
  const bool lately = suspension_ > absl::ZeroDuration() && absl::FromChrono(now - woke_) < options_.silence;
  return lately ? suspension_ : absl::ZeroDuration();
}

void Roster::CheckSilence(Instant now) {
  for (int rank = 0; rank < static_cast<int>(seats_.size()); ++rank) {
    const Seat& seat = seats_[rank];
    if (!seat.there || seat.left) continue;
    const absl::Duration silence = absl::FromChrono(now - seat.heard);
    if (silence <= options_.silence) continue;
    return Decide({JobFailure::Kind::kHung, rank, absl::StatusCode::kUnavailable,
                   absl::StrCat("rank ", rank, " hung: nothing was heard from ", seat.from, " for ", Seconds(silence),
                                " (the heartbeat timeout is ", Seconds(options_.silence), ")", Whereabouts(rank))});
  }
}

void Roster::Fail(const JobFailure& failure) {
  std::unique_lock<std::mutex> lock(mutex_);
  Decide(failure);
  Publish(lock);
}

void Roster::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
}

void Roster::Decide(JobFailure failure) {
  if (failure_.has_value() || closed_) return;
  failure_ = std::move(failure);
  auto message = std::make_shared<proto::ToRank>();
  *message->mutable_failure() = ToProto(*failure_);
  Tell(message);
}

void Roster::Publish(std::unique_lock<std::mutex>& lock) {
  const bool news = failure_.has_value() && !published_;
  published_ = published_ || news;
  lock.unlock();
  // failure_ is never changed again.
  if (news && on_failure_) on_failure_(*failure_);
}

std::string Roster::Whereabouts(int rank) const {
  const Seat& seat = seats_[rank];
  if (!seat.noted || seat.position.instruction() < 0) return "";
  std::string text = absl::StrCat("; it stood at instruction ", seat.position.instruction());
  if (!seat.position.action().empty()) absl::StrAppend(&text, ", ", seat.position.action());
  if (!seat.position.edge().empty()) absl::StrAppend(&text, " edge ", seat.position.edge());
  if (seat.position.micro_batch() >= 0) absl::StrAppend(&text, " of micro-batch ", seat.position.micro_batch());
  return text;
}

std::vector<Standing> Roster::Standings(Instant now) const {
  std::vector<Standing> standings;
  for (const Seat& seat : seats_) {
    Standing& standing = standings.emplace_back();
    standing.state = !seat.taken   ? Standing::State::kAbsent
                     : seat.left   ? Standing::State::kLeft
                     : !seat.there ? Standing::State::kGone
                                   : Standing::State::kThere;
    standing.noted = seat.noted;
    standing.position = seat.position;
    if (!seat.taken) continue;
    standing.since = absl::FromChrono(now - seat.moved);
    standing.silence = absl::FromChrono(now - seat.heard);
  }
  return standings;
}

Roster::Message Roster::RollCall() const {
  auto message = std::make_shared<proto::ToRank>();
  const bool all = joined_ == static_cast<int>(seats_.size());
  message->mutable_roll()->set_complete(all);
  if (all) return message;
  std::vector<int> absent;
  for (size_t rank = 0; rank < seats_.size(); ++rank) {
    if (!seats_[rank].taken) absent.push_back(static_cast<int>(rank));
  }
  message->mutable_roll()->set_absent(RankList(absent));
  return message;
}

void Roster::Tell(const Message& message) {
  for (const Seat& seat : seats_) {
    if (seat.outlet) seat.outlet(message);
  }
}

std::optional<JobFailure> Roster::failure() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

bool Roster::HasJoined(int rank) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seats_[rank].taken;
}

bool Roster::complete() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return joined_ == static_cast<int>(seats_.size());
}

std::string Roster::Report(Instant now) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return HangReport(Standings(now));
}

bool Roster::AwaitEmpty(absl::Duration patience) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return emptied_.wait_for(lock, absl::ToChronoNanoseconds(patience), [this] {
    return std::none_of(seats_.begin(), seats_.end(), [](const Seat& seat) { return seat.there; });
  });
}

}  // namespace millrace
