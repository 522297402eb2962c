// Collectives in the order of their group's stream.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/status_macros.h"
#include "runtime/comm/collective_shape.h"
#include "runtime/comm/nccl/device_communicator.h"
#include "runtime/trace/profiler_range.h"

namespace millrace::nccl {
namespace {

char* At(const void* memory, uint64_t offset) { return static_cast<char*>(const_cast<void*>(memory)) + offset; }

// The first error of several calls of a group.
class First {
 public:
  void operator()(Code code) {
    if (code_ == Code::kSuccess && code != Code::kInProgress) code_ = code;
  }
  Code code() const { return code_; }

 private:
  Code code_ = Code::kSuccess;
};

}  // namespace

struct DeviceCommunicator::Shape {
  int channel = 0;
  bool own = false;  // the channel has the ranks of the group and no others
  bool even = true;  // all shards are of one size
  int me = 0;        // place in the group
  std::vector<ShardExtent> extents;
  std::vector<int> index;  // in the channel, of each rank of the group
};

absl::StatusOr<DeviceCommunicator::Shape> DeviceCommunicator::ShapeOf(const Collective& collective) const {
  if (device_ == nullptr) return NotAttached();
  MR_RETURN_IF_ERROR(CheckCollective(collective, rank_));
  Shape shape;
  shape.extents = ExtentsOf(collective);
  shape.me = IndexInGroup(collective, rank_);
  for (const ShardExtent& extent : shape.extents) shape.even = shape.even && extent.bytes == shape.extents[0].bytes;
  shape.own = collective.ranks == comms_.ranks(0);
  for (size_t g = 0; g < options_.groups.size() && !options_.one_communicator && !shape.own; ++g) {
    const NcclGroup& group = options_.groups[g];
    if (group.directed || group.ranks != collective.ranks || !(group.tag_classes >> (collective.tag >> 62) & 1))
      continue;
    shape.channel = comms_.channel_of(static_cast<int>(g));
    shape.own = true;
  }
  for (int rank : collective.ranks) shape.index.push_back(comms_.index_of(shape.channel, rank));
  return shape;
}

absl::StatusOr<Communicator::Ticket> DeviceCommunicator::Enqueue(
    const Collective& collective, Stream* after, const std::function<absl::Status(const Shape&)>& work) {
  if (!Failure().ok()) return Aborted();
  const bool sums = collective.kind == CollectiveKind::kReduceScatter || collective.kind == CollectiveKind::kAllReduce;
  const ProfilerRange range(sums ? "REDUCE" : "GATHER");
  MR_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(collective));
  MR_ASSIGN_OR_RETURN(const uint32_t index, Take());
  Record& record = records_[index];
  {
    std::lock_guard<std::mutex> lock(records_mutex_);
    record.channels.push_back(shape.channel);
  }
  absl::Status status = Begin(after, &record);
  if (status.ok()) status = work(shape);
  if (status.ok()) status = End(&record);
  if (!status.ok()) return Fail(status);
  return records_.TicketOf(index);
}

absl::StatusOr<Communicator::Ticket> DeviceCommunicator::Start(const Collective& collective, Stream* after) {
  MR_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(collective));
  if (!shape.own) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", rank_, ": the ranks ", absl::StrJoin(collective.ranks, " "),
                     " have no NCCL communicator of their own, so they can only add in rank order"));
  }
  return Enqueue(collective, after, [&](const Shape& s) { return LaunchCollective(collective, s); });
}

absl::Status DeviceCommunicator::LaunchCollective(const Collective& c, const Shape& shape) {
  void* const stream = streams_[shape.channel]->native();
  const uint64_t element = SizeOf(c.dtype), bytes = c.count * element;
  const std::vector<ShardExtent>& extents = shape.extents;
  if (bytes == 0) return absl::OkStatus();
  const auto calls = [&](const Comms::CommOf& comm_of) {
    Comm const comm = comm_of(shape.channel);
    First first;
    switch (c.kind) {
      case CollectiveKind::kAllReduce:
        return api_->AllReduce(c.input, c.output, c.count, c.dtype, comm, stream);
      case CollectiveKind::kBroadcast:
        return api_->Broadcast(c.input, c.output, bytes, shape.index[IndexInGroup(c, c.root)], comm, stream);
      case CollectiveKind::kReduceScatter:
        if (shape.even)
          return api_->ReduceScatter(c.input, c.output, extents[0].bytes / element, c.dtype, comm, stream);
        // NCCL scatters equal shards only; a group of reductions is one launch.
        for (size_t r = 0; r < extents.size(); ++r) {
          if (extents[r].bytes == 0) continue;
          first(api_->Reduce(At(c.input, extents[r].offset), c.output, extents[r].bytes / element, c.dtype,
                             shape.index[r], comm, stream));
        }
        return first.code();
      case CollectiveKind::kAllGather:
        if (shape.even) return api_->AllGather(c.input, c.output, extents[0].bytes, comm, stream);
        for (size_t r = 0; r < extents.size(); ++r) {
          char* const place = At(c.output, extents[r].offset);
          if (extents[r].bytes == 0) continue;
          first(api_->Broadcast(static_cast<int>(r) == shape.me ? c.input : place, place, extents[r].bytes,
                                shape.index[r], comm, stream));
        }
        return first.code();
    }
    return Code::kInvalidUsage;
  };
  return comms_.Call({shape.channel}, calls, LaunchUntil());
}

absl::StatusOr<Communicator::Ticket> DeviceCommunicator::StartOrdered(const Collective& collective, Stream* after,
                                                                      const SumFn& sum) {
  const bool sums = collective.kind == CollectiveKind::kReduceScatter || collective.kind == CollectiveKind::kAllReduce;
  if (!sums) return Start(collective, after);
  return Enqueue(collective, after, [&](const Shape& shape) { return LaunchOrdered(collective, shape, sum); });
}

// As direct_collectives.cc, without the host: every rank's part of every shard to its owner, the sum, the sums to all.
absl::Status DeviceCommunicator::LaunchOrdered(const Collective& c, const Shape& shape, const SumFn& sum) {
  Stream& stream = *streams_[shape.channel];
  const ShardExtent& own = shape.extents[shape.me];
  const auto arrival = [&](size_t r) {
    return At(c.staging, own.bytes * (static_cast<int>(r) < shape.me ? r : r - 1));
  };
  // What this rank sends to each other one and gets from it; null: nothing of that size.
  const auto swap = [&](const auto& send, const auto& receive) {
    return comms_.Call(
        {shape.channel},
        [&](const Comms::CommOf& comm) {
          First first;
          for (size_t r = 0; r < shape.extents.size(); ++r) {
            if (static_cast<int>(r) == shape.me) continue;
            const auto [out, out_bytes] = send(r);
            const auto [in, in_bytes] = receive(r);
            if (out_bytes > 0) first(api_->Send(out, out_bytes, shape.index[r], comm(shape.channel), stream.native()));
            if (in_bytes > 0) first(api_->Recv(in, in_bytes, shape.index[r], comm(shape.channel), stream.native()));
          }
          return first.code();
        },
        LaunchUntil());
  };
  const auto place = [&](size_t r) { return std::pair(At(c.input, shape.extents[r].offset), shape.extents[r].bytes); };
  MR_RETURN_IF_ERROR(swap(place, [&](size_t r) { return std::pair(arrival(r), own.bytes); }));

  const bool all = c.kind == CollectiveKind::kAllReduce;
  char* const result = all ? At(c.output, own.offset) : static_cast<char*>(c.output);
  std::vector<const void*> operands;
  for (size_t r = 0; r < shape.extents.size(); ++r) {
    operands.push_back(static_cast<int>(r) == shape.me ? At(c.input, own.offset) : arrival(r));
  }
  if (own.bytes > 0) MR_RETURN_IF_ERROR(sum(stream, c.dtype, operands, result, own.bytes / SizeOf(c.dtype)));
  if (!all) return absl::OkStatus();
  return swap([&](size_t) { return std::pair(result, own.bytes); },
              [&](size_t r) { return std::pair(At(c.output, shape.extents[r].offset), shape.extents[r].bytes); });
}

}  // namespace millrace::nccl

namespace millrace {
namespace {

class NcclCollectives : public Collectives {
 public:
  NcclCollectives(NcclCommunicator* communicator, NcclCommunicator::SumFn ordered)
      : communicator_(communicator), ordered_(std::move(ordered)) {}

  absl::StatusOr<Ticket> Start(const Collective& collective) override {
    return ordered_ ? communicator_->StartOrdered(collective, nullptr, ordered_)
                    : communicator_->Start(collective, nullptr);
  }
  absl::StatusOr<bool> Advance(Ticket ticket) override {
    MR_RETURN_IF_ERROR(communicator_->Failure());
    return communicator_->Done(ticket);
  }
  absl::Status Finish(Ticket ticket, const std::function<std::string()>& what) override {
    return communicator_->Wait(ticket, what);
  }

 private:
  NcclCommunicator* const communicator_;
  const NcclCommunicator::SumFn ordered_;
};

}  // namespace

std::unique_ptr<Collectives> MakeNcclCollectives(NcclCommunicator* communicator, NcclCommunicator::SumFn ordered) {
  return std::make_unique<NcclCollectives>(communicator, std::move(ordered));
}

}  // namespace millrace
