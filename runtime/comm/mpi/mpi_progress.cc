// What moves transfers: asking MPI, and answering the other ranks. Everything here holds the library's lock.
#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/comm/mpi/mpi_communicator.h"
#include "runtime/comm/patience.h"

namespace millrace::mpi {
namespace {

constexpr int kControlTag = 0;
constexpr size_t kPostedReceives = 16;
constexpr auto kBusyPause = std::chrono::microseconds(200);
constexpr auto kIdlePause = std::chrono::milliseconds(1);
constexpr auto kLeaveWithin = std::chrono::seconds(1);
// How long all transfers that MPI has begun may take to end after an error.
constexpr auto kCancelWithin = std::chrono::milliseconds(400);

absl::StatusCode CodeOf(uint32_t code) {
  return code >= 1 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
}

bool Test(MPI_Request* request) {
  int done = 0;
  MPI_Test(request, &done, MPI_STATUS_IGNORE);
  return done != 0;
}

}  // namespace

MpiCommunicator::MpiCommunicator(Library* library, MPI_Comm world, const CommunicatorOptions& options)
    : library_(library), world_(world), options_(options), incoming_(kPostedReceives), meeting_([world] {
        int size = 0;
        MPI_Comm_size(world, &size);
        return size;
      }()) {
  std::lock_guard<std::mutex> lock(library_->mutex());
  MPI_Comm_rank(world, &rank_);
  MPI_Comm_size(world, &size_);
  spins_ = SpinsBeforeParking(size_);
  peers_.resize(size_);
  for (Letter& letter : incoming_) {
    MPI_Irecv(&letter.record, sizeof(ControlRecord), MPI_BYTE, MPI_ANY_SOURCE, kControlTag, world_, &letter.request);
  }
  server_ = std::thread([this] { Serve(); });
}

MpiCommunicator::~MpiCommunicator() {
  Leave();
  stopping_.store(true);
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    sleep_.notify_all();
  }
  server_.join();
  std::lock_guard<std::mutex> lock(library_->mutex());
  for (uint32_t index = 0; index < records_.size(); ++index) {
    if (records_[index].open) Retire(index);
  }
  for (Letter& letter : incoming_) {
    MPI_Cancel(&letter.request);
    MPI_Wait(&letter.request, MPI_STATUS_IGNORE);
  }
  for (Letter& letter : letters_) {
    // Small: MPI has its own copy, or the peer is gone and the process about to end.
    if (!Test(&letter.request)) MPI_Request_free(&letter.request);
  }
}

void MpiCommunicator::Leave() {
  if (first_error_.set()) {
    (void)Aborted();
    return;
  }
  const auto until = Patience::Clock::now() + kLeaveWithin;
  bool told = false, heard = false;
  while (!heard && Patience::Clock::now() < until && !first_error_.set()) {
    {
      std::lock_guard<std::mutex> lock(library_->mutex());
      if (!told) Tell(ControlRecord::kFarewell);
      told = true;
      Progress();
      heard = AllHeard();
    }
    std::this_thread::sleep_for(kBusyPause);
  }
}

void MpiCommunicator::Serve() {
  while (!stopping_.load()) {
    bool busy;
    {
      std::lock_guard<std::mutex> lock(library_->mutex());
      Progress();
      busy = !halves_.empty();
    }
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    if (!stopping_.load()) sleep_.wait_for(lock, busy ? std::chrono::microseconds(kBusyPause) : kIdlePause);
  }
}

void MpiCommunicator::Progress() {
  if (first_error_.set() && !told_) {
    told_ = true;
    Tell(ControlRecord::kAbort);
  }
  while (true) {
    Letter& letter = incoming_[head_];
    int done = 0;
    MPI_Status status;
    if (MPI_Test(&letter.request, &done, &status) != MPI_SUCCESS || !done) break;
    const ControlRecord record = letter.record;
    MPI_Irecv(&letter.record, sizeof(ControlRecord), MPI_BYTE, MPI_ANY_SOURCE, kControlTag, world_, &letter.request);
    head_ = (head_ + 1) % incoming_.size();
    Read(status.MPI_SOURCE, record);
  }
  for (auto entry = halves_.begin(); entry != halves_.end();) {
    Half& half = *entry->second;
    half.done = half.moving && Test(&half.request);
    entry = half.done ? halves_.erase(entry) : std::next(entry);
  }
  letters_.remove_if([](Letter& letter) { return Test(&letter.request); });
}

// A receive invites its sender; a send looks whether it is invited.
void MpiCommunicator::Open(Half* half, Space space) {
  const Transfer& t = half->transfer;
  if (t.send) {
    const auto found = ready_.find({t.peer, space, true, t.tag});
    if (found == ready_.end()) return;
    const Ready ready = found->second.front();
    found->second.pop_front();
    if (found->second.empty()) ready_.erase(found);
    return Meet(t.peer, space, half, ready);
  }
  ControlRecord record;
  record.kind = ControlRecord::kReady;
  record.space = space;
  record.tag = t.tag;
  record.bytes = t.bytes;
  int& next = peers_[t.peer].next_tag;
  record.mpi_tag = next;
  next = next >= library_->tag_limit() ? 1 : next + 1;
  Fail(MPI_Irecv(t.memory, static_cast<int>(t.bytes), MPI_BYTE, t.peer, record.mpi_tag, world_, &half->request),
       "MPI_Irecv");
  half->moving = true;
  Send(t.peer, record);
}

void MpiCommunicator::Meet(int peer, uint32_t space, Half* half, const Ready& ready) {
  const Transfer& t = half->transfer;
  if (ready.bytes != t.bytes) {
    return Abort(absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " sends ", t.bytes, " bytes with tag ", t.tag,
                                                         " to rank ", peer, ", which expects ", ready.bytes)));
  }
  Fail(MPI_Isend(t.memory, static_cast<int>(t.bytes), MPI_BYTE, peer, ready.mpi_tag, world_, &half->request),
       "MPI_Isend");
  half->moving = true;
}

void MpiCommunicator::Read(int peer, const ControlRecord& record) {
  if (record.kind == ControlRecord::kReady) {
    const Ready ready = {record.bytes, record.mpi_tag};
    const Key key = {peer, record.space, true, record.tag};
    const auto found = halves_.find(key);
    if (found == halves_.end() || found->second->moving) {
      ready_[key].push_back(ready);
    } else {
      Meet(peer, record.space, found->second, ready);
    }
    return;
  }
  if (record.kind == ControlRecord::kHeard) {
    peers_[peer].heard = true;
    return;
  }
  if (record.kind == ControlRecord::kAbort) {
    const size_t length = std::min<size_t>(record.text_bytes, sizeof(record.text));
    Abort(absl::Status(CodeOf(record.code), absl::string_view(record.text, length)));
  }
  peers_[peer].left = true;
  ControlRecord heard;
  heard.kind = ControlRecord::kHeard;
  Send(peer, heard);
}

void MpiCommunicator::Send(int peer, const ControlRecord& record) {
  Letter& letter = letters_.emplace_back();
  letter.record = record;
  Fail(MPI_Isend(&letter.record, sizeof(ControlRecord), MPI_BYTE, peer, kControlTag, world_, &letter.request),
       "MPI_Isend");
}

void MpiCommunicator::Tell(ControlRecord::Kind kind) {
  ControlRecord record;
  record.kind = kind;
  if (kind == ControlRecord::kAbort) {
    const absl::Status error = first_error_.Get();
    record.code = static_cast<uint32_t>(error.code());
    record.text_bytes = static_cast<uint32_t>(std::min(error.message().size(), sizeof(record.text)));
    std::copy_n(error.message().data(), record.text_bytes, record.text);
  }
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && !peers_[peer].left) Send(peer, record);
  }
}

bool MpiCommunicator::AllHeard() const {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && !peers_[peer].heard && !peers_[peer].left) return false;
  }
  return true;
}

// Receives that nobody has begun to fill are taken back; what has begun gets a little time.
void MpiCommunicator::Retire(uint32_t index) {
  Record& record = records_[index];
  for (Half& half : record.halves) {
    const Transfer& t = half.transfer;
    const auto found = halves_.find({t.peer, record.space, t.send, t.tag});
    if (found != halves_.end() && found->second == &half) halves_.erase(found);
    if (!half.moving || half.done) continue;
    if (!t.send) MPI_Cancel(&half.request);
    if (give_up_ == Patience::Clock::time_point()) give_up_ = Patience::Clock::now() + kCancelWithin;
    while (!Test(&half.request) && Patience::Clock::now() < give_up_) std::this_thread::yield();
    if (half.request != MPI_REQUEST_NULL) MPI_Request_free(&half.request);
  }
  record.halves.clear();
  records_.Retire(index);
}

void MpiCommunicator::Fail(int code, const char* call) {
  if (code != MPI_SUCCESS) Abort(ToStatus(code, call));
}

}  // namespace millrace::mpi

namespace millrace {

bool MpiIsLinked() { return true; }

absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommunicatorOptions& options) {
  MR_ASSIGN_OR_RETURN(mpi::Library * library, mpi::Library::Get());
  MR_ASSIGN_OR_RETURN(const MPI_Comm world, library->NewWorld());
  return std::make_unique<mpi::MpiCommunicator>(library, world, options);
}

}  // namespace millrace
