// Ranks that are threads or processes, on one host or many, over TCP: gloo's event loop and buffers.
#ifndef RUNTIME_COMM_GLOO_GLOO_H_
#define RUNTIME_COMM_GLOO_GLOO_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/exchange.h"

namespace millrace {

struct GlooOptions {
  CommunicatorOptions waits;
  // The address of this machine to listen on, and the one that peers connect to. Nothing that crosses it is encrypted.
  std::string host = "127.0.0.1";
  std::string interface;       // when given, that interface's address instead of `host`
  std::string name = "world";  // part of the keys on the exchange: one name for each communicator of a job
  absl::Duration connect_within = absl::Seconds(10);  // one attempt to connect all ranks
  absl::Duration answer_within = absl::Minutes(2);    // every rank's answer on the exchange
};

// Connects this rank with all others; every rank of the exchange calls it. Blocks. A connection counts only when its
// other end knows the word that this rank told the others through the exchange, so port scans and garbage do no harm.
// When connecting fails although all ranks answer, all of them try again on new ports, at most five times. UNAVAILABLE
// when that fails too; DEADLINE_EXCEEDED when a rank does not answer; INVALID_ARGUMENT for a host or interface that
// this machine does not have.
//
// One thread of gloo's and one of ours per communicator move transfers, whatever the rank does meanwhile. Beyond what
// communicator.h says:
//   - A send is done when its bytes have been handed to the kernel; that happens only after the receive was posted.
//   - Byte counts are part of what the two halves are matched by. A wait longer than some 20 ms asks its peer, which
//     tells halves that differ in their counts from halves that are late.
//   - Every error of a wait or collective aborts the communicator: different byte counts, a time limit, a lost peer.
//   - No transfers from a rank to itself: INVALID_ARGUMENT.
//   - A peer that is gone is UNAVAILABLE, with its rank, for every rank. A peer that took its leave by destroying its
//     communicator is missed only by those who wait for it.
//   - Abort tells the other ranks. Who cannot be reached within 0.2 s finds the connection closed instead.
//   - Destruction waits at most a second for peers to have read what was sent to them.
// The process ignores SIGPIPE from now on, unless it handles it.
absl::StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(Exchange& exchange, const GlooOptions& options = {});

}  // namespace millrace

#endif  // RUNTIME_COMM_GLOO_GLOO_H_
