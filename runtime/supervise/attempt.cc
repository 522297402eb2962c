#include "runtime/supervise/attempt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/log/log.h"
#include "runtime/rendezvous/environment.h"
#include "runtime/rendezvous/token_memory.h"

extern char** environ;

namespace millrace {
namespace {

using std::chrono::milliseconds;

constexpr auto kSettle = milliseconds(400);  // for the cause, when a rank says that another one is gone
constexpr auto kDrain = milliseconds(300);   // for output that is still in a pipe when all ranks have ended
constexpr int kLongestPollMs = 200;

std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

}  // namespace

Attempt::Attempt(const SuperviseOptions& options, int incarnation, StopSignals* signals)
    : options_(options), incarnation_(incarnation), signals_(signals) {}

Attempt::~Attempt() {
  ranks_.clear();        // kills what is left
  coordinator_.reset();  // before the descriptor it writes to
  if (token_fd_ >= 0) close(token_fd_);
  if (failed_fd_ >= 0) close(failed_fd_);
}

absl::Status Attempt::StartCoordinator() {
  const JobToken token = JobToken::Random();
  MR_ASSIGN_OR_RETURN(token_fd_, TokenInMemory(token));
  failed_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (failed_fd_ < 0) return absl::ErrnoToStatus(errno, "cannot make an event descriptor");
  ServerOptions server;
  server.identity = {options_.job, options_.plan_hash, options_.version, options_.ranks, incarnation_};
  server.token = token;
  server.roster.silence = options_.heartbeat_timeout;
  server.on_failure = [fd = failed_fd_](const JobFailure&) { eventfd_write(fd, 1); };
  MR_ASSIGN_OR_RETURN(coordinator_, RendezvousServer::Start(server));
  return absl::OkStatus();
}

std::vector<std::string> Attempt::EnvironmentOf(int rank) const {
  std::vector<std::pair<std::string, std::string>> own = options_.environment;
  const std::string number = absl::StrCat(rank), size = absl::StrCat(options_.ranks);
  own.insert(own.end(), {{kRankVariable, number},
                         {kSizeVariable, size},
                         {kLocalRankVariable, number},
                         {kLocalSizeVariable, size},
                         {kCoordinatorVariable, coordinator_->address()},
                         {kTokenFileVariable, TokenMemoryPath(token_fd_)},
                         {kJobVariable, options_.job},
                         {kRestartVariable, absl::StrCat(incarnation_)},
                         {kLaunchVariable, kLaunchByMillrace}});
  std::set<std::string> names;
  std::vector<std::string> all;
  // The last word on a name counts.
  for (auto pair = own.rbegin(); pair != own.rend(); ++pair) {
    if (names.insert(pair->first).second) all.push_back(absl::StrCat(pair->first, "=", pair->second));
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (names.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
  }
  return all;
}

absl::Status Attempt::StartRank(int rank) {
  Rank& seat = ranks_[rank];
  const std::string prefix = options_.prefix ? absl::StrCat("[rank ", rank, "] ") : "";
  MR_ASSIGN_OR_RETURN(PrefixedLines out, PrefixedLines::Open(prefix, options_.out));
  MR_ASSIGN_OR_RETURN(PrefixedLines err, PrefixedLines::Open(prefix, options_.err));
  seat.out.emplace(std::move(out));
  seat.err.emplace(std::move(err));
  ChildOptions child;
  child.command = options_.command;
  child.environment = EnvironmentOf(rank);
  child.out = seat.out->sink();
  child.err = seat.err->sink();
  child.keep = token_fd_;
  absl::StatusOr<Child> started = Child::Start(child);
  if (!started.ok()) return started.status();
  seat.child.emplace(*std::move(started));
  seat.out->CloseSink();
  seat.err->CloseSink();
  return absl::OkStatus();
}

absl::StatusOr<Verdict> Attempt::Run() {
  MR_RETURN_IF_ERROR(StartCoordinator());
  ranks_.resize(options_.ranks);
  for (int rank = 0; rank < options_.ranks; ++rank) MR_RETURN_IF_ERROR(StartRank(rank));
  while (Alive() > 0 || (OutputOpen() && Now() < *all_ended_at_ + kDrain)) {
    Poll();
    TakeSignals();
    PumpOutput();
    TakeEnds();
    if (coordinator_->failure().has_value() && !failed_at_.has_value()) BeginEnd();
    if (failed_at_.has_value()) RemoveRest();
  }
  std::vector<RankEnd> ends;
  for (Rank& rank : ranks_) {
    rank.out->Flush();
    rank.err->Flush();
    ends.push_back({*rank.end, rank.removed, rank.ended_at});
  }
  return Judge(ends, coordinator_->failure(), stop_signal_);
}

void Attempt::Poll() {
  std::vector<pollfd> entries = {{signals_->descriptor(), POLLIN, 0}, {failed_fd_, POLLIN, 0}};
  for (const Rank& rank : ranks_) {
    if (!rank.end.has_value()) entries.push_back({rank.child->descriptor(), POLLIN, 0});
    if (rank.out->source() >= 0) entries.push_back({rank.out->source(), POLLIN, 0});
    if (rank.err->source() >= 0) entries.push_back({rank.err->source(), POLLIN, 0});
  }
  if (failed_at_.has_value()) entries[1].fd = -1;  // it stays readable
  poll(entries.data(), entries.size(), PollPatienceMs());
}

int Attempt::PollPatienceMs() const {
  Instant next = Now() + milliseconds(kLongestPollMs);
  if (failed_at_.has_value()) {
    const Instant removal = *failed_at_ + absl::ToChronoNanoseconds(options_.grace);
    if (removal > Now()) next = std::min(next, removal);
  }
  return static_cast<int>(std::max<int64_t>(1, std::chrono::duration_cast<milliseconds>(next - Now()).count() + 1));
}

void Attempt::TakeSignals() {
  while (const int signal = signals_->Take()) {
    const bool again = stop_signal_ == SIGINT && signal == SIGINT;
    if (stop_signal_ == 0) stop_signal_ = signal;
    for (Rank& rank : ranks_) {
      if (rank.end.has_value()) continue;
      rank.removed = rank.removed || again;
      rank.child->Signal(again ? SIGKILL : signal);
    }
  }
}

void Attempt::TakeEnds() {
  const auto tell = [this](int rank) {
    coordinator_->Fail({JobFailure::Kind::kDied, rank, absl::StatusCode::kUnavailable,
                        absl::StrCat("rank ", rank, " ", ranks_[rank].end->ToString())});
  };
  for (int number = 0; number < options_.ranks; ++number) {
    Rank& rank = ranks_[number];
    if (rank.end.has_value()) continue;
    rank.end = rank.child->TakeEnd();
    if (!rank.end.has_value()) continue;
    rank.ended_at = Now();
    // After a signal the ranks may end as they like.
    if (rank.end->ok() || rank.removed || stop_signal_ != 0) continue;
    if (IsConsequence(*rank.end)) {
      if (!witness_at_.has_value()) witness_at_ = Now();
    } else {
      tell(number);
    }
  }
  if (witness_at_.has_value() && Now() > *witness_at_ + kSettle && !coordinator_->failure().has_value()) {
    for (int number = 0; number < options_.ranks; ++number) {
      if (ranks_[number].end.has_value() && !ranks_[number].end->ok()) tell(number);
    }
  }
  if (Alive() == 0 && !all_ended_at_.has_value()) all_ended_at_ = Now();
}

void Attempt::PumpOutput() {
  for (Rank& rank : ranks_) {
    rank.out->Pump();
    rank.err->Pump();
  }
}

void Attempt::BeginEnd() {
  failed_at_ = Now();
  const JobFailure failure = *coordinator_->failure();
  Log(LogLevel::kError, failure.message);
  for (int number = 0; number < options_.ranks; ++number) {
    Rank& rank = ranks_[number];
    if (rank.end.has_value()) continue;
    // A process that hangs uses no grace; one that does not listen to the coordinator must be told in another way.
    if (failure.kind == JobFailure::Kind::kHung && number == failure.rank) {
      if (rank.child->IsStopped()) {
        Log(LogLevel::kError,
            absl::StrCat("rank ", number, " (process ", rank.child->pid(), ") is stopped by a signal"));
      }
      rank.removed = true;
      rank.child->Signal(SIGKILL);
    } else if (!coordinator_->HasJoined(number)) {
      rank.child->Signal(SIGTERM);
    }
  }
}

void Attempt::RemoveRest() {
  if (Now() < *failed_at_ + absl::ToChronoNanoseconds(options_.grace)) return;
  for (Rank& rank : ranks_) {
    if (rank.end.has_value() || rank.removed) continue;
    rank.removed = true;
    rank.child->Signal(SIGKILL);
  }
}

int Attempt::Alive() const {
  return static_cast<int>(
      std::count_if(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return !rank.end.has_value(); }));
}

bool Attempt::OutputOpen() const {
  return std::any_of(ranks_.begin(), ranks_.end(),
                     [](const Rank& rank) { return rank.out->source() >= 0 || rank.err->source() >= 0; });
}

}  // namespace millrace
