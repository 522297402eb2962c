// The coordinator of a job: ranks join it, exchange small values through it, and learn from it when one of them fails.
// Run by the local supervisor, or by the process of rank 0.
#ifndef RUNTIME_RENDEZVOUS_SERVER_H_
#define RUNTIME_RENDEZVOUS_SERVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/rendezvous/admission.h"
#include "runtime/rendezvous/job_failure.h"
#include "runtime/rendezvous/roster.h"
#include "runtime/rendezvous/tls_files.h"
#include "runtime/rendezvous/token.h"

namespace millrace {

struct ServerOptions {
  JobIdentity identity;
  JobToken token;                    // must not be empty
  std::string bind = "127.0.0.1:0";  // HOST:PORT, port 0: any free one. Beyond loopback with TLS, or with `insecure`
  TlsFiles tls;
  bool insecure = false;
  int host_rank = -1;  // the rank whose process this is; -1: a process of its own
  RosterOptions roster;
  // Whoever connects and does not prove the token for so long is sent away.
  absl::Duration stranger_patience = absl::Seconds(5);
  // Called once, on a thread of the server, when the job has failed. May be empty; must not destroy the server.
  std::function<void(const JobFailure&)> on_failure;
};

// Any thread may call anything but the destructor.
class RendezvousServer {
 public:
  // Listens when it returns. INVALID_ARGUMENT for bad options, FAILED_PRECONDITION for plain text beyond loopback,
  // UNAVAILABLE when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<RendezvousServer>> Start(const ServerOptions& options);
  // Cuts the ranks that are still connected off. A host that ends in order calls AwaitEmpty before.
  virtual ~RendezvousServer() = default;

  virtual std::string address() const = 0;  // HOST:PORT with the port it got
  virtual std::optional<JobFailure> failure() const = 0;
  virtual bool complete() const = 0;  // every rank has come
  virtual bool HasJoined(int rank) const = 0;
  // Ends the job: every rank gets this failure, unless there was one before.
  virtual void Fail(const JobFailure& failure) = 0;
  // Where every rank stands by its last word, and one line that names the cause (hang_report.h).
  virtual std::string Report() const = 0;
  // Whether within `patience` every rank that came has left, or is lost: then its last message has arrived too.
  virtual bool AwaitEmpty(absl::Duration patience) const = 0;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_SERVER_H_
