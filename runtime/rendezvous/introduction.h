// How a rank gets in: finds the coordinator, proves that it has the token, and has the coordinator prove the same.
#ifndef RUNTIME_RENDEZVOUS_INTRODUCTION_H_
#define RUNTIME_RENDEZVOUS_INTRODUCTION_H_

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"
#include "proto/control.pb.h"
#include "runtime/rendezvous/client.h"
#include "runtime/rendezvous/client_stream.h"

namespace millrace {

struct Introduced {
  std::unique_ptr<ClientStream> stream;
  proto::Welcome welcome;
};

// Tries again, with growing pauses, until `deadline`: while the name does not resolve, nobody listens, the token's file
// is missing or the connection breaks. The errors of RendezvousClient::Join.
absl::StatusOr<Introduced> Introduce(const RendezvousOptions& options, std::chrono::steady_clock::time_point deadline);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_INTRODUCTION_H_
