// A rank's membership in its job: it joins the coordinator, exchanges small values, beats from a thread of its own
// whatever the rank's worker does, and learns when another rank fails.
#ifndef RUNTIME_RENDEZVOUS_CLIENT_H_
#define RUNTIME_RENDEZVOUS_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/comm/exchange.h"
#include "runtime/rendezvous/address.h"
#include "runtime/rendezvous/admission.h"
#include "runtime/rendezvous/job_failure.h"
#include "runtime/rendezvous/position.h"
#include "runtime/rendezvous/tls_files.h"
#include "runtime/rendezvous/token.h"

namespace millrace {

struct RendezvousOptions {
  std::string coordinator;  // HOST:PORT
  JobIdentity identity;
  int rank = 0;
  JobToken token;
  std::string token_file;  // read when `token` is empty; a file that is not there yet is waited for
  TlsFiles tls;            // `authority` for TLS
  bool insecure = false;   // plain text beyond loopback is all right
  // For everything that may come late: the coordinator, its name, the token's file, the other ranks.
  absl::Duration patience = absl::Minutes(5);
  Resolver resolve = &ResolveWithSystem;
};

// Any thread may call anything but the destructor. exchange() is used by one thread at a time.
class RendezvousClient {
 public:
  // Returns when every rank of the job has joined. DEADLINE_EXCEEDED after `patience`, saying what was missing, or
  // FAILED_PRECONDITION when it was a certificate to be trusted; at once the coordinator's refusal (UNAUTHENTICATED,
  // FAILED_PRECONDITION, ALREADY_EXISTS, INVALID_ARGUMENT) or the job's first error.
  static absl::StatusOr<std::unique_ptr<RendezvousClient>> Join(const RendezvousOptions& options);
  // Without Leave before, the other ranks learn that this one has died. Calls no callback after it returns.
  virtual ~RendezvousClient() = default;

  // Belongs to the client.
  virtual Exchange& exchange() = 0;

  // Called once, on the client's own thread, when the job has failed, also when it has failed before; for
  // Communicator:: Abort. A later call replaces a callback that has not been called. It must not destroy the client.
  virtual void OnFailure(std::function<void(const JobFailure&)> callback) = 0;
  virtual std::optional<JobFailure> failure() const = 0;

  // Tells the coordinator of this rank's error and returns what every rank gets: the first error, which may be another
  // rank's. UNAVAILABLE, ABORTED and CANCELLED say that somebody else ended: they wait a moment for the one who did.
  virtual JobFailure ReportFailure(const absl::Status& status) = 0;

  // Notes where the rank stands, for hang reports. By one thread; it takes no lock (PositionBoard).
  virtual void SetPosition(const Position& position) = 0;
  // Where every rank stands by its last word, and in the first line the cause of the wait (hang_report.h).
  virtual absl::StatusOr<std::string> HangReport(absl::Duration patience) = 0;

  // The rank is done: its end is no failure any more. OK when the coordinator knows; the first error when the job has
  // failed. Nothing else is called afterwards.
  virtual absl::Status Leave() = 0;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_CLIENT_H_
