#include <cstring>
#include <deque>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/comm/collective_shape.h"
#include "runtime/comm/collectives.h"
#include "runtime/comm/sum.h"

namespace millrace {
namespace {

char* At(const void* memory, uint64_t offset) { return static_cast<char*>(const_cast<void*>(memory)) + offset; }

class DirectCollectives : public Collectives {
 public:
  explicit DirectCollectives(Communicator* communicator) : communicator_(communicator) {}

  absl::StatusOr<Ticket> Start(const Collective& collective) override {
    MR_RETURN_IF_ERROR(CheckCollective(collective, communicator_->rank()));
    Running running;
    running.collective = collective;
    running.extents = ExtentsOf(collective);
    running.me = IndexInGroup(collective, communicator_->rank());
    MR_RETURN_IF_ERROR(collective.kind == CollectiveKind::kAllGather   ? PostGather(collective.input, &running)
                       : collective.kind == CollectiveKind::kBroadcast ? PostBroadcast(&running)
                                                                       : PostScatter(&running));
    const Ticket ticket = next_++;
    running_.emplace_back(ticket, std::move(running));
    return ticket;
  }

  absl::StatusOr<bool> Advance(Ticket ticket) override {
    Running* running = Find(ticket);
    if (running == nullptr) return true;
    if (!communicator_->Done(running->posted)) return false;
    if (!running->summing()) return true;
    MR_RETURN_IF_ERROR(Sum([] { return std::string("a collective that is done"); }, running));
    return !running->gathering || communicator_->Done(running->posted);
  }

  absl::Status Finish(Ticket ticket, const std::function<std::string()>& what) override {
    Running* running = Find(ticket);
    if (running == nullptr) return absl::OkStatus();
    absl::Status status = running->summing() ? Sum(what, running) : absl::OkStatus();
    if (status.ok() && !running->waited) status = communicator_->Wait(running->posted, what);
    std::erase_if(running_, [ticket](const auto& entry) { return entry.first == ticket; });
    return status;
  }

 private:
  struct Running {
    Collective collective;
    std::vector<ShardExtent> extents;
    int me = 0;  // index in the group
    Communicator::Ticket posted = 0;
    bool summed = false;     // the shards have arrived and are added up
    bool gathering = false;  // all-reduce: the sums are on their way
    bool waited = false;     // nothing is in flight
    bool summing() const {
      return !summed && (collective.kind == CollectiveKind::kReduceScatter ||
                         collective.kind == CollectiveKind::kAllReduce);
    }
    const ShardExtent& own() const { return extents[me]; }
  };

  Running* Find(Ticket ticket) {
    for (auto& [of, running] : running_) {
      if (of == ticket) return &running;
    }
    return nullptr;
  }

  // Every rank's part of every shard to the shard's owner.
  absl::Status PostScatter(Running* running) {
    const Collective& c = running->collective;
    transfers_.clear();
    uint64_t staged = 0;
    for (size_t r = 0; r < c.ranks.size(); ++r) {
      if (static_cast<int>(r) == running->me) continue;
      const ShardExtent& theirs = running->extents[r];
      transfers_.push_back({true, c.ranks[r], c.tag, At(c.input, theirs.offset), theirs.bytes});
      transfers_.push_back({false, c.ranks[r], c.tag, At(c.staging, staged), running->own().bytes});
      staged += running->own().bytes;
    }
    return Post(running);
  }

  // Every owner's shard, which lies at `mine`, to all.
  absl::Status PostGather(const void* mine, Running* running) {
    const Collective& c = running->collective;
    void* place = At(c.output, running->own().offset);
    if (place != mine && running->own().bytes > 0) std::memcpy(place, mine, running->own().bytes);
    transfers_.clear();
    for (size_t r = 0; r < c.ranks.size(); ++r) {
      if (static_cast<int>(r) == running->me) continue;
      const ShardExtent& theirs = running->extents[r];
      transfers_.push_back({true, c.ranks[r], c.tag, place, running->own().bytes});
      transfers_.push_back({false, c.ranks[r], c.tag, At(c.output, theirs.offset), theirs.bytes});
    }
    return Post(running);
  }

  absl::Status PostBroadcast(Running* running) {
    const Collective& c = running->collective;
    const uint64_t bytes = c.count * SizeOf(c.dtype);
    transfers_.clear();
    if (communicator_->rank() != c.root) {
      transfers_.push_back({false, c.root, c.tag, c.output, bytes});
      return Post(running);
    }
    if (c.output != c.input && bytes > 0) std::memcpy(c.output, c.input, bytes);
    for (int peer : c.ranks) {
      if (peer != c.root) transfers_.push_back({true, peer, c.tag, c.output, bytes});
    }
    return Post(running);
  }

  absl::Status Post(Running* running) {
    MR_ASSIGN_OR_RETURN(running->posted, communicator_->Post(transfers_));
    return absl::OkStatus();
  }

  // Waits for the parts of this rank's shard and adds them; an all-reduce then sends the sum to all.
  absl::Status Sum(const std::function<std::string()>& what, Running* running) {
    const Collective& c = running->collective;
    MR_RETURN_IF_ERROR(communicator_->Wait(running->posted, what));
    const bool all = c.kind == CollectiveKind::kAllReduce;
    char* sum = all ? At(c.output, running->own().offset) : static_cast<char*>(c.output);
    operands_.clear();
    uint64_t staged = 0;
    for (size_t r = 0; r < c.ranks.size(); ++r) {
      const bool mine = static_cast<int>(r) == running->me;
      operands_.push_back(mine ? At(c.input, running->own().offset) : At(c.staging, staged));
      if (!mine) staged += running->own().bytes;
    }
    SumInOrder(c.dtype, operands_, sum, running->own().bytes / SizeOf(c.dtype));
    running->summed = true;
    running->waited = !all;
    running->gathering = all;
    return all ? PostGather(sum, running) : absl::OkStatus();
  }

  Communicator* const communicator_;
  std::deque<std::pair<Ticket, Running>> running_;  // few at a time
  Ticket next_ = 1;
  std::vector<Transfer> transfers_;
  std::vector<const void*> operands_;
};

}  // namespace

std::unique_ptr<Collectives> MakeDirectCollectives(Communicator* communicator) {
  return std::make_unique<DirectCollectives>(communicator);
}

}  // namespace millrace
