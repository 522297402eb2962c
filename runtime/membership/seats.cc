#include "runtime/membership/seats.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/whereabouts.h"

namespace millrace {
namespace {

// The last messages of a job: the coordinator waits so long for ranks to have read them, less where one of them may be
// stuck.
constexpr absl::Duration kFarewell = absl::Seconds(5), kFarewellAfterFailure = absl::Milliseconds(300);
constexpr absl::Duration kReportPatience = absl::Seconds(1);

static_assert(kEveryone == kEveryRank);

}  // namespace

absl::Status Seats::Host(const ServerOptions& options) {
  MR_ASSIGN_OR_RETURN(coordinator_, RendezvousServer::Start(options));
  return absl::OkStatus();
}

RendezvousClient* Seats::Take(int rank, std::unique_ptr<RendezvousClient> client) {
  std::lock_guard lock(mutex_);
  return (by_rank_[rank] = std::move(client)).get();
}

std::function<std::string()> Seats::ReportFor(RendezvousClient* client) const {
  return [client] {
    const absl::StatusOr<std::string> report = client->HangReport(kReportPatience);
    return report.ok() ? *report : absl::StrCat("no report of the other ranks: ", report.status().message());
  };
}

void Seats::Watch(int rank, const std::shared_ptr<Communicator>& communicator) {
  std::lock_guard lock(mutex_);
  by_rank_.at(rank)->OnFailure([weak = std::weak_ptr<Communicator>(communicator)](const JobFailure& failure) {
    if (const std::shared_ptr<Communicator> alive = weak.lock()) alive->Abort(failure.status());
  });
}

StandFn Seats::NotesOf(int rank) {
  std::lock_guard lock(mutex_);
  const auto found = by_rank_.find(rank);
  if (found == by_rank_.end()) return {};
  return [client = found->second.get()](const Standpoint& stand) {
    client->SetPosition({.instruction = stand.instruction,
                         .action = stand.action,
                         .edge = stand.edge,
                         .micro_batch = stand.micro_batch,
                         .peer = stand.peer,
                         .peer_instruction = stand.peer_instruction});
  };
}

absl::Status Seats::End(const absl::Status& mine) {
  absl::Status first = mine;
  for (auto& [rank, client] : by_rank_) {
    if (!first.ok() && !absl::IsCancelled(first)) {
      first = client->ReportFailure(first).status();
      continue;
    }
    const absl::Status left = client->Leave();
    if (first.ok()) first = left;
  }
  by_rank_.clear();
  const bool in_order = first.ok() || absl::IsCancelled(first);
  if (coordinator_ != nullptr) coordinator_->AwaitEmpty(in_order ? kFarewell : kFarewellAfterFailure);
  return first;
}

}  // namespace millrace
