#include "runtime/rendezvous/client.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/status_macros.h"
#include "runtime/log/log.h"
#include "runtime/rendezvous/credentials.h"
#include "runtime/rendezvous/introduction.h"
#include "runtime/rendezvous/rendezvous_exchange.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Instant = std::chrono::steady_clock::time_point;

constexpr auto kVerdictPatience = seconds(2);  // for what the coordinator makes of a report
constexpr auto kFarewellPatience = seconds(2);
constexpr auto kSayWaiting = seconds(10);

Instant Now() { return std::chrono::steady_clock::now(); }

class Client : public RendezvousClient {
 public:
  Client(const RendezvousOptions& options, Introduced introduced)
      : rank_(options.rank),
        coordinator_(options.coordinator),
        host_rank_(introduced.welcome.host_rank()),
        beat_(std::max<uint32_t>(1, introduced.welcome.beat_ms())),
        silence_(std::max<uint32_t>(3, introduced.welcome.silence_ms())),
        stream_(std::move(introduced.stream)),
        exchange_(options.rank, options.identity.size,
                  [this](proto::FromRank word) { stream_->Send(std::move(word)); }),
        thread_([this] { Attend(); }) {}

  ~Client() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    stream_->Wake();
    thread_.join();
  }

  // Every rank has come; or why not.
  absl::Status AwaitAll(Instant deadline, absl::Duration patience) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [this] { return complete_ || failure_.has_value(); };
    while (!ready() && Now() < deadline) {
      if (changed_.wait_until(lock, std::min(deadline, Now() + kSayWaiting), ready) || Now() >= deadline) break;
      Log(LogLevel::kInfo, absl::StrCat("waiting for ranks ", absent_, " to join"));
    }
    if (failure_.has_value()) return failure_->status();
    if (complete_) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrCat("ranks ", absent_, " have not joined within ",
                                                    absl::FormatDuration(patience), ". Were they started?"));
  }

  Exchange& exchange() override { return exchange_; }

  void OnFailure(std::function<void(const JobFailure&)> callback) override {
    std::lock_guard<std::mutex> lock(mutex_);
    callback_ = std::move(callback);
    changed_.notify_all();
    stream_->Wake();
  }

  std::optional<JobFailure> failure() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return failure_;
  }

  JobFailure ReportFailure(const absl::Status& status) override {
    const JobFailure own{JobFailure::Kind::kReported, rank_, status.code(), std::string(status.message())};
    proto::FromRank word;
    *word.mutable_failure() = ToProto(own);
    stream_->Send(std::move(word));
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, kVerdictPatience, [this] { return failure_.has_value(); });
    return failure_.value_or(own);
  }

  void SetPosition(const Position& position) override { board_.Write(position); }

  absl::StatusOr<std::string> HangReport(absl::Duration patience) override {
    std::unique_lock<std::mutex> lock(mutex_);
    report_.reset();
    proto::FromRank question;
    question.mutable_ask_report();
    stream_->Send(std::move(question));
    if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(patience),
                           [this] { return report_.has_value() || ended_; }) ||
        !report_.has_value()) {
      return absl::UnavailableError(absl::StrCat("the coordinator at ", coordinator_, " gives no hang report"));
    }
    return *report_;
  }

  absl::Status Leave() override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (failure_.has_value()) return failure_->status();
    leaving_ = true;
    proto::FromRank word;
    word.mutable_leave();
    stream_->Send(std::move(word));
    changed_.wait_for(lock, kFarewellPatience, [this] { return ended_; });
    if (ended_) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the coordinator at ", coordinator_, " does not answer the farewell"));
  }

 private:
  // The client's thread: takes words in, beats, watches the coordinator, and calls the callback.
  void Attend() {
    Instant next_beat = Now(), heard = Now(), looked = Now();
    while (true) {
      proto::ToRank word;
      absl::Status end;
      const ClientStream::Event event = stream_->Next(next_beat, &word, &end);
      const Instant now = Now();
      // When this process was stopped, the coordinator's words lie unread: its silence then proves nothing.
      if (event == ClientStream::Event::kWord || now - looked > std::max<milliseconds>(seconds(1), silence_ / 4)) {
        heard = now;
      }
      looked = now;
      if (event == ClientStream::Event::kWord) Take(word);
      if (event == ClientStream::Event::kEnd) Ended(end);
      if (event != ClientStream::Event::kEnd && now - heard > silence_) Silent(now - heard);
      if (now >= next_beat) {
        Beat();
        next_beat = now + beat_;
      }
      std::unique_lock<std::mutex> lock(mutex_);
      // Nothing comes any more; what is left to do is to tell a callback that may be set later.
      if (ended_) changed_.wait(lock, [this] { return stopping_ || HasNews(); });
      if (stopping_) return;
      if (HasNews()) Publish(lock);
    }
  }

  bool HasNews() const { return failure_.has_value() && callback_; }

  void Publish(std::unique_lock<std::mutex>& lock) {
    const auto callback = std::exchange(callback_, nullptr);
    const JobFailure failure = *failure_;
    lock.unlock();
    callback(failure);
  }

  void Beat() {
    proto::FromRank word;
    proto::Position position;
    if (board_.ReadNew(&seen_, &position)) *word.mutable_beat()->mutable_position() = std::move(position);
    word.mutable_beat();
    stream_->Send(std::move(word));
  }

  void Take(const proto::ToRank& word) {
    if (word.has_failure()) return Decide(FromProto(word.failure()));
    exchange_.Take(word);
    std::lock_guard<std::mutex> lock(mutex_);
    if (word.has_roll()) {
      complete_ = word.roll().complete();
      absent_ = word.roll().absent();
    }
    if (word.has_report()) report_ = word.report().text();
    changed_.notify_all();
  }

  void Ended(const absl::Status& status) {
    bool expected;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      expected = leaving_ || ended_;
      ended_ = true;
      changed_.notify_all();
    }
    if (expected) return;
    Decide({JobFailure::Kind::kDied, host_rank_, absl::StatusCode::kUnavailable,
            absl::StrCat(Host(), " died: its connection broke",
                         status.ok() ? "" : absl::StrCat(" (", status.message(), ")"))});
  }

  void Silent(Instant::duration silence) {
    Decide({JobFailure::Kind::kHung, host_rank_, absl::StatusCode::kUnavailable,
            absl::StrFormat("%s hung: nothing was heard from it for %.1f s, or the network between is down", Host(),
                            std::chrono::duration<double>(silence).count())});
  }

  std::string Host() const {
    if (host_rank_ < 0) return absl::StrCat("the coordinator at ", coordinator_);
    return absl::StrCat("rank ", host_rank_, ", whose process is the coordinator at ", coordinator_, ",");
  }

  void Decide(const JobFailure& failure) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (failure_.has_value()) return;
      failure_ = failure;
      changed_.notify_all();
    }
    exchange_.Fail(failure);
  }

  const int rank_;
  const std::string coordinator_;
  const int host_rank_;
  const milliseconds beat_, silence_;
  const std::unique_ptr<ClientStream> stream_;
  RendezvousExchange exchange_;
  PositionBoard board_;
  uint64_t seen_ = 0;  // by the client's thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void(const JobFailure&)> callback_;
  std::optional<JobFailure> failure_;
  std::optional<std::string> report_;
  std::string absent_ = "?";
  bool complete_ = false, leaving_ = false, ended_ = false, stopping_ = false;

  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RendezvousClient>> RendezvousClient::Join(const RendezvousOptions& options) {
  if (options.token.empty() && options.token_file.empty()) {
    return absl::InvalidArgumentError("a rank needs the job's token to join; set MILLRACE_TOKEN_FILE");
  }
  QuietGrpc();
  const Instant deadline = Now() + absl::ToChronoNanoseconds(options.patience);
  MR_ASSIGN_OR_RETURN(Introduced introduced, Introduce(options, deadline));
  auto client = std::make_unique<Client>(options, std::move(introduced));
  const absl::Status all = client->AwaitAll(deadline, options.patience);
  if (!all.ok()) {
    if (absl::IsDeadlineExceeded(all)) client->ReportFailure(all);
    return all;
  }
  return client;
}

}  // namespace millrace
