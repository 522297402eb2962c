// What happens beside the rank's own thread: reports of gloo's loop, control records, an error told to the others; and
// how a communicator begins and ends.
#include <algorithm>
#include <chrono>
#include <exception>

#include "absl/strings/str_cat.h"
#include "runtime/comm/gloo/communicator.h"
#include "runtime/comm/patience.h"

namespace millrace::gloo_comm {
namespace {

// How long the leaving wait for others to have read what was sent to them.
constexpr auto kLeaveWithin = std::chrono::seconds(1);

absl::StatusCode CodeOf(uint32_t code) {
  return code >= 1 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
}

}  // namespace

GlooCommunicator::GlooCommunicator(std::shared_ptr<gloo::transport::tcp::Device> device, int rank, int size,
                                   const CommunicatorOptions& options)
    : rank_(rank),
      size_(size),
      options_(options),
      spins_(SpinsBeforeParking(size)),
      mesh_(std::make_shared<Mesh>(std::move(device), rank, size)),
      meeting_(size) {
  for (int peer = 0; peer < size; ++peer) peers_.emplace_back();
  control_ = std::make_unique<Parcel>(mesh_, &incoming_, sizeof(incoming_));
}

absl::StatusOr<std::unique_ptr<Communicator>> GlooCommunicator::Make(
    std::shared_ptr<gloo::transport::tcp::Device> device, int rank, std::vector<Socket> sockets,
    const CommunicatorOptions& options) {
  const int size = static_cast<int>(sockets.size());
  std::unique_ptr<GlooCommunicator> made(new GlooCommunicator(std::move(device), rank, size, options));
  try {
    for (int peer = 0; peer < size; ++peer) {
      if (peer != rank) made->mesh_->Join(peer, sockets[peer].Release(), made.get());
    }
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat("gloo: rank ", rank, " cannot take over its connections: ", e.what()));
  }
  made->watcher_ = std::thread([communicator = made.get()] { communicator->Watch(); });
  return std::unique_ptr<Communicator>(std::move(made));
}

GlooCommunicator::~GlooCommunicator() {
  if (watcher_.joinable()) Leave();
  mesh_->Close();
  for (uint32_t index = 0; index < records_.size(); ++index) {
    if (records_[index].open) Retire(index);
  }
  outbox_.Clear();
  control_.reset();
}

void GlooCommunicator::Leave() {
  const bool aborted = first_error_.set();
  if (aborted) {
    (void)Aborted();
  } else {
    Tell(ControlRecord::kFarewell);
  }
  {
    std::unique_lock<std::mutex> lock(mutex_);
    leaving_ = true;
    if (!aborted) wake_.wait_for(lock, kLeaveWithin, [this] { return AllHeard() || first_error_.set(); });
    stopping_ = true;
    watch_.notify_one();
  }
  watcher_.join();
}

void GlooCommunicator::Abort(absl::Status why) {
  if (!first_error_.Set(why)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
  watch_.notify_one();
}

// Sequentially consistent with Await: either the waiter sees the completion or this sees the waiter.
void GlooCommunicator::Progressed() {
  const bool control = control_->Done();
  if (parked_.load() == 0 && !control) return;
  std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
  if (control) watch_.notify_one();
}

void GlooCommunicator::Lost(int peer, const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  peers_[peer].why = why;
  peers_[peer].lost.store(true);
  wake_.notify_all();
  watch_.notify_one();
}

void GlooCommunicator::Watch() {
  Listen();
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (control_->Done()) {
      lock.unlock();
      Read();
      lock.lock();
    } else if (first_error_.set() && !told_) {
      lock.unlock();
      Tell(ControlRecord::kAbort);
      lock.lock();
      told_ = true;
      wake_.notify_all();
    } else if (std::any_of(peers_.begin(), peers_.end(), [](const Peer& p) { return p.lost && !p.mourned; })) {
      lock.unlock();
      Mourn();
      lock.lock();
    } else {
      watch_.wait(lock);
    }
  }
}

// Asks for the next control record, from any peer there is. gloo throws at once when it tries a lost one.
void GlooCommunicator::Listen() {
  for (int attempt = 0; attempt <= size_; ++attempt) {
    std::vector<int> there;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_ && !peers_[peer].lost.load()) there.push_back(peer);
    }
    if (there.empty()) return;
    try {
      gloo::transport::UnboundBuffer& parcel = *control_;
      parcel.recv(there, SlotOf(SlotKind::kControl, 0, 0), 0, sizeof(ControlRecord));
      return;
    } catch (const std::exception&) {
    }
  }
}

void GlooCommunicator::Read() {
  const int peer = control_->TakeSource();
  const ControlRecord record = incoming_;
  Listen();
  if (peer < 0 || peer >= size_ || peer == rank_) return;
  if (record.kind == ControlRecord::kQuestion) return Answer(peer, record);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    (record.kind == ControlRecord::kHeard ? peers_[peer].heard : peers_[peer].left) = true;
    wake_.notify_all();
  }
  if (record.kind == ControlRecord::kHeard) return;
  if (record.kind == ControlRecord::kAbort) Abort(absl::Status(CodeOf(record.code), record.Text()));
  ControlRecord heard;
  heard.kind = ControlRecord::kHeard;
  outbox_.Send(mesh_, peer, heard);
}

// A question about another use of the tag says nothing of this one; nor does one that came after the bytes.
void GlooCommunicator::Answer(int peer, const ControlRecord& question) {
  uint64_t mine;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto half = halves_.find({peer, question.send == 0, question.tag});
    if (half == halves_.end() || half->second.use != question.use || half->second.bytes == question.bytes ||
        half->second.parcel->Done()) {
      return;
    }
    mine = half->second.bytes;
  }
  const bool they_send = question.send != 0;
  Abort(absl::InvalidArgumentError(absl::StrCat("rank ", they_send ? peer : rank_, " sends ",
                                                they_send ? question.bytes : mine, " bytes with tag ", question.tag,
                                                " to rank ", they_send ? rank_ : peer, ", which expects ",
                                                they_send ? mine : question.bytes)));
}

// Peers that went without a word. Theirs would have been read before: it comes first on the connection.
void GlooCommunicator::Mourn() {
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (int peer = 0; peer < size_; ++peer) {
      if (!peers_[peer].lost || peers_[peer].mourned) continue;
      peers_[peer].mourned = true;
      if (!peers_[peer].left && !leaving_ && status.ok()) {
        status = absl::UnavailableError(absl::StrCat("rank ", peer, " is gone: ", peers_[peer].why));
      }
    }
  }
  if (!status.ok()) Abort(status);
}

void GlooCommunicator::Tell(ControlRecord::Kind kind) {
  ControlRecord record;
  record.kind = kind;
  if (kind == ControlRecord::kAbort) {
    const absl::Status error = first_error_.Get();
    record.code = static_cast<uint32_t>(error.code());
    record.SetText(error.message());
  }
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (peers_[peer].lost || peers_[peer].left) continue;
    }
    outbox_.Send(mesh_, peer, record);
  }
}

// With mutex_ held.
bool GlooCommunicator::AllHeard() const {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && !peers_[peer].heard && !peers_[peer].left && !peers_[peer].lost) return false;
  }
  return true;
}

absl::Status GlooCommunicator::Gone(int peer) {
  std::lock_guard<std::mutex> lock(mutex_);
  return absl::UnavailableError(
      absl::StrCat("rank ", peer, peers_[peer].left ? " has left" : " is gone", ": ", peers_[peer].why));
}

}  // namespace millrace::gloo_comm
