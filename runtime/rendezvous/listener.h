// The port of a coordinator. It accepts connections itself, because gRPC's own listener goes deaf for good when
// strangers have once used up the process's descriptors.
#ifndef RUNTIME_RENDEZVOUS_LISTENER_H_
#define RUNTIME_RENDEZVOUS_LISTENER_H_

#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/rendezvous/address.h"

namespace millrace {

// Strangers may take half of the descriptors that the process may have: beyond that new connections are closed at once,
// so that they keep ranks out for a while, but never keep the process from opening its own files.
class Listener {
 public:
  // Listens at one address: the first one, for a name. UNAVAILABLE when it cannot be had.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const HostPort& where);
  // Stops accepting.
  ~Listener();

  int port() const { return port_; }
  // From now on calls `take` with each connection, which belongs to it, on a thread of the listener. Once.
  void Start(std::function<void(int descriptor)> take);

 private:
  Listener(int socket, int port, int stop) : socket_(socket), port_(port), stop_(stop) {}
  void Accept();

  const int socket_, port_;
  const int stop_;  // an event descriptor
  std::function<void(int)> take_;
  std::thread thread_;
};

// Makes sure that the process may have descriptors for a job of `ranks` ranks and as many of its own as before.
// RESOURCE_EXHAUSTED says what limit to raise.
absl::Status ReserveDescriptors(int ranks);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_LISTENER_H_
