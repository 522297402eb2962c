#include "runtime/comm/gloo/link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace millrace::gloo_comm {
namespace {

namespace tcp = gloo::transport::tcp;

constexpr size_t kReadAtOnce = 256 << 10;  // bytes

std::string Reason(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace

bool Parcel::Done() {
  std::lock_guard<std::mutex> lock(m_);
  return recvCompletions_ + sendCompletions_ > 0;
}

int Parcel::TakeSource() {
  std::lock_guard<std::mutex> lock(m_);
  recvCompletions_ = 0;
  return recvRank_;
}

// Nobody waits inside gloo, so its own time limit is of no interest.
Link::Link(tcp::Context* context, tcp::Device* device, int peer, LinkObserver* observer)
    : Pair(context, device, peer, gloo::kNoTimeout), observer_(observer) {}

Link::~Link() { Close(); }

// The constructor of gloo's pair opens a port. The socket takes the place of that port's descriptor, and with it of
// whatever a stranger may have connected there meanwhile.
void Link::Adopt(int socket) {
  std::lock_guard<std::mutex> lock(m_);
  if (fd_ < 0) {
    fd_ = socket;
  } else {
    ::dup2(socket, fd_);
    ::close(socket);
  }
  ex_ = nullptr;
  rx_ = tcp::Op();
  adopted_ = true;
  try {
    handleConnected();
  } catch (...) {
    // The peer has hung up already, so gloo has not taken the descriptor.
    ::close(fd_);
    fd_ = -1;
    state_ = CLOSED;
    throw;
  }
}

void Link::Close() {
  std::lock_guard<std::mutex> lock(m_);
  closing_ = true;
  if (state_ != CLOSED) changeState(CLOSED);
}

// The loop then reads the end of the connection.
void Link::BeginClose() {
  std::lock_guard<std::mutex> lock(m_);
  closing_ = true;
  if (state_ == CONNECTED) ::shutdown(fd_, SHUT_RDWR);
}

bool Link::closed() {
  std::lock_guard<std::mutex> lock(m_);
  return state_ == CLOSED;
}

bool Link::read() {
  const bool whole = Pair::read();
  progressed_ |= whole;
  // Where the rest of a message is on its way, the loop need not wake for each segment of it. A connection that ends
  // wakes it all the same, and so does a full receive buffer.
  const bool inside = !whole && rx_.nread >= sizeof(rx_.preamble) && rx_.nread < rx_.preamble.nbytes;
  WakeAt(inside ? std::min(kReadAtOnce, rx_.preamble.nbytes - rx_.nread) : 1);
  return whole;
}

void Link::WakeAt(size_t bytes) {
  if (bytes == wakes_at_ || fd_ < 0) return;
  const int value = static_cast<int>(bytes);
  if (::setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) == 0) wakes_at_ = bytes;
}

bool Link::write(tcp::Op& op) {
  const bool whole = Pair::write(op);
  progressed_ |= whole;
  return whole;
}

// An exception here would leave the loop's thread and end the process.
void Link::handleReadWrite(int events) {
  progressed_ = false;
  try {
    Pair::handleReadWrite(events);
  } catch (...) {
    if (ex_ == nullptr) signalException(std::current_exception());
  }
  if (progressed_) observer_->Progressed();
}

void Link::changeState(state next) noexcept {
  const bool lost = adopted_ && !closing_ && next == CLOSED && state_ != CLOSED;
  Pair::changeState(next);
  if (lost) observer_->Lost(rank_, ex_ == nullptr ? "closed" : Reason(ex_));
}

void Mesh::Join(int peer, int socket, LinkObserver* observer) {
  auto link = std::make_unique<Link>(this, device_.get(), peer, observer);
  Link* raw = link.get();
  pairs_[peer] = std::move(link);
  raw->Adopt(socket);
}

void Mesh::Close() {
  const auto for_all = [this](auto&& act) {
    for (const auto& pair : pairs_) {
      if (pair != nullptr) act(static_cast<Link&>(*pair));
    }
  };
  for_all([](Link& link) { link.BeginClose(); });
  bool open = true;
  for (int ms = 0; ms < 20 && open; ++ms) {
    open = false;
    for_all([&open](Link& link) { open |= !link.closed(); });
    if (open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for_all([](Link& link) { link.Close(); });
}

}  // namespace millrace::gloo_comm
