// Exchange over the coordinator.
#ifndef RUNTIME_RENDEZVOUS_RENDEZVOUS_EXCHANGE_H_
#define RUNTIME_RENDEZVOUS_RENDEZVOUS_EXCHANGE_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "proto/control.pb.h"
#include "runtime/comm/exchange.h"
#include "runtime/rendezvous/job_failure.h"

namespace millrace {

// AllGather by one thread at a time; Take and Fail by the client's thread.
class RendezvousExchange : public Exchange {
 public:
  // `send` takes a word to the coordinator and never blocks.
  RendezvousExchange(int rank, int size, std::function<void(proto::FromRank)> send)
      : rank_(rank), size_(size), send_(std::move(send)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view key, absl::string_view mine,
                                                     absl::Time deadline) override;

  // A word from the coordinator: Gathered, GatherRefused or Absent.
  void Take(const proto::ToRank& word);
  // The job has failed: AllGather returns it, now and from now on.
  void Fail(const JobFailure& failure);

 private:
  const int rank_, size_;
  const std::function<void(proto::FromRank)> send_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<JobFailure> failure_;
  // Of the AllGather in progress.
  std::string key_;
  std::vector<std::string> values_;
  std::optional<std::string> refused_, absent_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_RENDEZVOUS_EXCHANGE_H_
