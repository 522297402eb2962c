// The part that knows gloo from inside: one connection to a peer that takes a socket which has already proved who it
// is, buffers that can be asked whether they are done, and a context of such connections.
//
// Why gloo's classes are extended. As they stand, gloo's pairs accept whoever connects first, end the process when a
// message breaks their rules (an exception leaves the loop's thread), and forget to tell a buffer in mid-transfer that
// its connection is lost; its buffers cannot be asked without blocking, and a wait that times out closes every
// connection of the context.
#ifndef RUNTIME_COMM_GLOO_LINK_H_
#define RUNTIME_COMM_GLOO_LINK_H_

#include <gloo/transport/tcp/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/tcp/pair.h>
#include <gloo/transport/tcp/unbound_buffer.h>

#include <cstddef>
#include <memory>
#include <string>

namespace millrace::gloo_comm {

// Hears of what links do. Called with the link's lock held, by gloo's loop thread or by whoever uses the link: must
// not call a link.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  // Some message has been read or written to its end.
  virtual void Progressed() = 0;
  // The link will never work again. At most once for each link.
  virtual void Lost(int peer, const std::string& why) = 0;
};

// Memory that is sent or received once at a time. Destroying it takes its memory away from gloo, at once and safely,
// but a transfer that was half way leaves its link useless.
class Parcel : public gloo::transport::tcp::UnboundBuffer {
 public:
  Parcel(const std::shared_ptr<gloo::transport::tcp::Context>& context, void* memory, size_t bytes)
      : UnboundBuffer(context, memory, bytes) {}

  bool Done();
  // The rank that the last receive came from; then the parcel may be used again.
  int TakeSource();
};

class Link : public gloo::transport::tcp::Pair {
 public:
  Link(gloo::transport::tcp::Context* context, gloo::transport::tcp::Device* device, int peer, LinkObserver* observer);
  ~Link() override;

  // Takes over a connected socket whose other end is known to be the peer. Throws what gloo throws.
  void Adopt(int socket);
  // Ends the connection in good order: what was written still arrives. Reports nothing to the observer. May wait for
  // gloo's loop, up to 10 ms; BeginClose lets the loop do it when it finds the time.
  void BeginClose();
  void Close();
  bool closed();

 protected:
  bool read() override;
  bool write(gloo::transport::tcp::Op& op) override;
  void handleReadWrite(int events) override;
  void changeState(state next) noexcept override;

 private:
  void WakeAt(size_t bytes);

  LinkObserver* const observer_;
  // Under the pair's lock.
  bool adopted_ = false;
  bool closing_ = false;
  bool progressed_ = false;
  size_t wakes_at_ = 1;  // bytes that must have arrived before the loop hears of them
};

// A context whose links are put in one by one.
class Mesh : public gloo::transport::tcp::Context {
 public:
  Mesh(std::shared_ptr<gloo::transport::tcp::Device> device, int rank, int size)
      : Context(std::move(device), rank, size) {}

  // Throws what gloo throws.
  void Join(int peer, int socket, LinkObserver* observer);
  // All links, together.
  void Close();
  Link& link(int peer) { return static_cast<Link&>(*pairs_[peer]); }
};

}  // namespace millrace::gloo_comm

#endif  // RUNTIME_COMM_GLOO_LINK_H_
