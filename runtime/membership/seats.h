// The seats of this process's ranks at the job's coordinator, whichever transport carries the tensors: who beats, who
// is told of a failure, whose error counts, and where every rank stands.
#ifndef RUNTIME_MEMBERSHIP_SEATS_H_
#define RUNTIME_MEMBERSHIP_SEATS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/comm/communicator.h"
#include "runtime/job/ranks.h"
#include "runtime/rendezvous/client.h"
#include "runtime/rendezvous/server.h"

namespace millrace {

// Any thread may call Take, Watch, NotesOf and the report that ReportTo gives; the rest is for the owner.
class Seats {
 public:
  // This process runs the coordinator too.
  absl::Status Host(const ServerOptions& options);
  const RendezvousServer* coordinator() const { return coordinator_.get(); }

  // A rank here has joined.
  RendezvousClient* Take(int rank, std::unique_ptr<RendezvousClient> client);
  // Where every rank stands, asked on behalf of that one: CommunicatorOptions::report. Valid until End.
  std::function<std::string()> ReportFor(RendezvousClient* client) const;
  // From now on a failure anywhere aborts the rank's communicator.
  void Watch(int rank, const std::shared_ptr<Communicator>& communicator);
  StandFn NotesOf(int rank);

  // Membership::End.
  absl::Status End(const absl::Status& mine);

 private:
  std::unique_ptr<RendezvousServer> coordinator_;
  std::mutex mutex_;
  std::map<int, std::unique_ptr<RendezvousClient>> by_rank_;  // before the coordinator they go
};

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_SEATS_H_
