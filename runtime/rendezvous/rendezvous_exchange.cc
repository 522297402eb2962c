#include "runtime/rendezvous/rendezvous_exchange.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/rendezvous/gather_rounds.h"

namespace millrace {
namespace {

constexpr auto kAnswerPatience = std::chrono::seconds(2);  // for who is absent, once the deadline is over

}  // namespace

absl::StatusOr<std::vector<std::string>> RendezvousExchange::AllGather(absl::string_view key, absl::string_view mine,
                                                                       absl::Time deadline) {
  MR_RETURN_IF_ERROR(CheckGather(key, mine.size()));
  const auto until = std::chrono::steady_clock::now() +
                     absl::ToChronoNanoseconds(std::min(deadline - absl::Now(), absl::Hours(24 * 365)));
  std::unique_lock<std::mutex> lock(mutex_);
  if (failure_.has_value()) return failure_->status();
  key_ = std::string(key);
  values_.clear();
  refused_.reset();
  absent_.reset();
  proto::FromRank word;
  word.mutable_gather()->set_key(key_);
  word.mutable_gather()->set_value(std::string(mine));
  send_(std::move(word));

  const auto over = [this] {
    return failure_.has_value() || refused_.has_value() || static_cast<int>(values_.size()) == size_;
  };
  if (!changed_.wait_until(lock, until, over)) {
    proto::FromRank question;
    question.mutable_ask_absent()->set_key(key_);
    send_(std::move(question));
    changed_.wait_for(lock, kAnswerPatience, [&] { return over() || absent_.has_value(); });
  }
  key_.clear();
  if (static_cast<int>(values_.size()) == size_) return std::move(values_);
  if (failure_.has_value()) return failure_->status();
  if (refused_.has_value()) return absl::FailedPreconditionError(*refused_);
  return absl::DeadlineExceededError(
      absl::StrCat("'", key, "': ",
                   absent_.has_value() ? absl::StrCat("no word from ranks ", *absent_)
                                       : "some ranks did not come, and the coordinator does not say which"));
}

void RendezvousExchange::Take(const proto::ToRank& word) {
  std::lock_guard<std::mutex> lock(mutex_);
  // What belongs to an earlier key came after its deadline.
  if (word.has_gathered() && word.gathered().key() == key_ && word.gathered().first_rank() == values_.size()) {
    for (const std::string& value : word.gathered().values()) values_.push_back(value);
  } else if (word.has_gather_refused() && word.gather_refused().key() == key_) {
    refused_ = word.gather_refused().why();
  } else if (word.has_absent() && word.absent().key() == key_) {
    absent_ = word.absent().ranks();
  }
  changed_.notify_all();
}

void RendezvousExchange::Fail(const JobFailure& failure) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_.has_value()) failure_ = failure;
  changed_.notify_all();
}

}  // namespace millrace
