#include "tests/runtime/comm/nccl/fake_nccl.h"

#include <algorithm>
#include <cstring>

namespace millrace::nccl {
namespace {

bool IsTransfer(const FakeCall& call) { return call.name == "Send" || call.name == "Recv"; }

}  // namespace

FakeNccl::~FakeNccl() = default;

std::vector<FakeCall> FakeNccl::calls() {
  std::lock_guard<std::mutex> lock(world_->mutex);
  return calls_;
}

std::vector<std::string> FakeNccl::misuses() {
  std::lock_guard<std::mutex> lock(world_->mutex);
  return misuses_;
}

// The communicator, once it may be used. The caller holds the lock.
FakeNccl::FakeComm* FakeNccl::Use(Comm comm, const char* call) {
  auto* const fake = static_cast<FakeComm*>(comm);
  if (fake == nullptr) {
    misuses_.push_back(std::string(call) + " without a communicator");
  } else if (fake->gone || fake->aborted) {
    misuses_.push_back(std::string(call) + " after the end of the communicator");
  } else {
    return fake;
  }
  return nullptr;
}

Code FakeNccl::GetUniqueId(UniqueId* id) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  id->fill('\0');
  const std::string text = "id " + std::to_string(++world_->ids);
  std::copy(text.begin(), text.end(), id->begin());
  return Code::kSuccess;
}

Code FakeNccl::InitRank(Comm* comm, int size, const UniqueId& id, int rank) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  std::shared_ptr<Clique>& clique = world_->roots[id];
  if (clique == nullptr) clique = std::make_shared<Clique>();
  clique->size = size;
  clique->collectives.resize(size);
  ++clique->arrived;
  FakeComm& made = comms_.emplace_back();
  made.number = static_cast<int>(comms_.size()) - 1;
  made.rank = rank;
  made.clique = clique;
  *comm = &made;
  calls_.push_back({"InitRank", made.number, size, 0});
  return Code::kInProgress;
}

Code FakeNccl::Split(Comm parent, int color, int key, bool share, Comm* child) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const comm = Use(parent, "Split");
  if (comm == nullptr) return Code::kInvalidUsage;
  if (InProgress(comm)) misuses_.push_back("Split of a communicator that is in progress");
  if (!share) misuses_.push_back("Split that does not share");
  const int number = comm->splits++;
  comm->clique->splits[number][comm->rank] = {color, key};
  comm->child = child;
  comm->split_color = color;
  calls_.push_back({"Split", comm->number, color, 0});
  return Code::kInProgress;
}

// Once all ranks have said their color, the child is there.
bool FakeNccl::SplitIsOver(FakeComm* comm) {
  if (comm->child == nullptr) return true;
  const int number = comm->splits - 1;
  const auto& said = comm->clique->splits[number];
  if (static_cast<int>(said.size()) < comm->clique->size) return false;
  if (comm->split_color != kNoColor) {
    std::vector<std::pair<int, int>> members;  // (key, rank)
    for (const auto& [rank, color_key] : said) {
      if (color_key.first == comm->split_color) members.emplace_back(color_key.second, rank);
    }
    std::sort(members.begin(), members.end());
    std::shared_ptr<Clique>& clique = comm->clique->children[{number, comm->split_color}];
    if (clique == nullptr) clique = std::make_shared<Clique>();
    clique->size = clique->arrived = static_cast<int>(members.size());
    clique->collectives.resize(members.size());
    FakeComm& made = comms_.emplace_back();
    made.number = static_cast<int>(comms_.size()) - 1;
    made.clique = clique;
    for (size_t m = 0; m < members.size(); ++m) {
      if (members[m].second == comm->rank) made.rank = static_cast<int>(m);
    }
    *comm->child = &made;
  }
  comm->child = nullptr;
  return true;
}

bool FakeNccl::InProgress(FakeComm* comm) {
  if (comm->slow > 0 && comm->slow-- > 0) return true;
  const Clique& clique = *comm->clique;
  if (clique.arrived < clique.size || !SplitIsOver(comm)) return true;
  if (comm->finalizing) return clique.finalized < clique.size;
  return std::any_of(comm->connecting.begin(), comm->connecting.end(), [&](const std::pair<int, int>& pair) {
    return clique.wanted.count(pair) == 0 || clique.wanted.count({pair.second, pair.first}) == 0;
  });
}

Code FakeNccl::AsyncError(Comm comm, Code* state) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "AsyncError");
  if (fake == nullptr) return Code::kInvalidUsage;
  *state = injected_.load();
  if (*state == Code::kSuccess && InProgress(fake)) *state = Code::kInProgress;
  return Code::kSuccess;
}

Code FakeNccl::Finalize(Comm comm) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "Finalize");
  if (fake == nullptr) return Code::kInvalidUsage;
  fake->finalizing = true;
  ++fake->clique->finalized;
  calls_.push_back({"Finalize", fake->number, -1, 0});
  return Code::kInProgress;
}

Code FakeNccl::Destroy(Comm comm) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "Destroy");
  if (fake == nullptr) return Code::kInvalidUsage;
  if (!fake->finalizing || InProgress(fake)) misuses_.push_back("Destroy before the communicator is finalized");
  fake->gone = true;
  calls_.push_back({"Destroy", fake->number, -1, 0});
  return Code::kSuccess;
}

Code FakeNccl::Abort(Comm comm) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "Abort");
  if (fake == nullptr) return Code::kInvalidUsage;
  fake->aborted = true;
  if (!fake->finalizing) ++fake->clique->finalized;
  calls_.push_back({"Abort", fake->number, -1, 0});
  world_->changed.notify_all();
  return Code::kSuccess;
}

Code FakeNccl::Register(Comm comm, void* memory, uint64_t bytes, void** handle) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "Register");
  if (fake == nullptr) return Code::kInvalidUsage;
  *handle = memory;
  calls_.push_back({"Register", fake->number, -1, bytes});
  return Code::kSuccess;
}

Code FakeNccl::Deregister(Comm comm, void*) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, "Deregister");
  if (fake == nullptr) return Code::kInvalidUsage;
  calls_.push_back({"Deregister", fake->number, -1, 0});
  return Code::kSuccess;
}

Code FakeNccl::GroupStart() {
  std::lock_guard<std::mutex> lock(world_->mutex);
  ++depth_;
  calls_.push_back({"GroupStart", -1, -1, 0});
  return Code::kSuccess;
}

Code FakeNccl::GroupEnd() {
  std::lock_guard<std::mutex> lock(world_->mutex);
  calls_.push_back({"GroupEnd", -1, -1, 0});
  if (--depth_ != 0) misuses_.push_back("groups are not balanced");
  for (Launch& launch : group_) {
    launch.comm->slow = slow_launches;
    launch.stream->Put([this, comm = launch.comm, ops = launch.ops] { return RunOps(comm, ops); });
  }
  group_.clear();
  return Code::kInProgress;
}

Code FakeNccl::Add(const char* name, Comm comm, void* stream, Op op) {
  std::lock_guard<std::mutex> lock(world_->mutex);
  FakeComm* const fake = Use(comm, name);
  if (fake == nullptr) return Code::kInvalidUsage;
  if (depth_ != 1) misuses_.push_back(std::string(name) + " outside of a group");
  if (op.peer >= fake->clique->size || (op.peer == fake->rank && IsTransfer({name}))) return Code::kInvalidArgument;
  op.call = {name, fake->number, op.peer, op.bytes};
  calls_.push_back(op.call);
  if (IsTransfer(op.call)) {
    const std::pair<int, int> ours(fake->rank, op.peer);
    if (fake->clique->wanted.insert(ours).second) fake->connecting.push_back(ours);
  }
  auto* const queue = static_cast<AsyncStream*>(stream);
  auto launch =
      std::find_if(group_.begin(), group_.end(), [&](const Launch& l) { return l.comm == fake && l.stream == queue; });
  if (launch == group_.end()) launch = group_.insert(group_.end(), {fake, queue, {}});
  launch->ops.push_back(std::make_shared<Op>(op));
  return Code::kSuccess;
}

// On the stream: all operations of the group make progress together.
absl::Status FakeNccl::RunOps(FakeComm* comm, const std::vector<std::shared_ptr<Op>>& ops) {
  std::unique_lock<std::mutex> lock(world_->mutex);
  if (!comm->aborted) {
    for (const std::shared_ptr<Op>& op : ops)
      IsTransfer(op->call) ? OfferTransfer(comm, op.get()) : OfferCollective(comm, op.get());
  }
  world_->changed.notify_all();
  world_->changed.wait(lock, [&] {
    return comm->aborted || std::all_of(ops.begin(), ops.end(), [](const auto& op) { return op->done; });
  });
  Withdraw(comm, ops);
  return absl::OkStatus();
}

void FakeNccl::OfferTransfer(FakeComm* comm, Op* op) {
  const bool send = op->call.name == "Send";
  const std::pair<int, int> way = send ? std::pair(comm->rank, op->peer) : std::pair(op->peer, comm->rank);
  std::deque<Op*>&mine = (send ? comm->clique->sends : comm->clique->receives)[way],
  &others = (send ? comm->clique->receives : comm->clique->sends)[way];
  if (others.empty()) return mine.push_back(op);
  Op* const other = others.front();
  others.pop_front();
  Op* const sender = send ? op : other;
  Op* const receiver = send ? other : op;
  std::memcpy(receiver->to, sender->from, std::min(sender->bytes, receiver->bytes));
  // Who has more waits for ever, as with NCCL.
  sender->done = sender->bytes <= receiver->bytes;
  receiver->done = receiver->bytes <= sender->bytes;
}

void FakeNccl::OfferCollective(FakeComm* comm, Op* op) {
  Clique& clique = *comm->clique;
  std::vector<Op*>& meeting = clique.meetings[clique.collectives[comm->rank]++];
  meeting.resize(clique.size);
  meeting[comm->rank] = op;
  for (const Op* one : meeting) {
    if (one == nullptr || one->call.name != op->call.name || one->bytes != op->bytes) return;
  }
  Perform(meeting);
}

// Inputs first: they may be outputs.
void FakeNccl::Perform(const std::vector<Op*>& ops) {
  const Op& any = *ops[0];
  const int size = static_cast<int>(ops.size());
  std::string whole;
  if (any.call.name == "Broadcast") {
    whole.assign(static_cast<const char*>(ops[any.peer]->from), any.bytes);
  } else if (any.call.name == "AllGather") {
    for (const Op* op : ops) whole.append(static_cast<const char*>(op->from), any.bytes);
  } else if (any.bytes > 0) {
    // From the last rank to the first: another order than rank order. Tests use numbers that add exactly.
    std::vector<float> sum(any.bytes / sizeof(float), 0);
    for (int r = size - 1; r >= 0; --r) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<const float*>(ops[r]->from)[i];
    }
    whole.assign(reinterpret_cast<const char*>(sum.data()), any.bytes);
  }
  for (int r = 0; r < size; ++r) {
    const bool scatter = any.call.name == "ReduceScatter";
    const uint64_t each = scatter ? any.bytes / size : whole.size();
    if (any.call.name != "Reduce" || r == any.peer)
      std::memcpy(ops[r]->to, whole.data() + (scatter ? r * each : 0), each);
    ops[r]->done = true;
  }
}

// What an abort leaves: nobody may touch the memory any more.
void FakeNccl::Withdraw(FakeComm* comm, const std::vector<std::shared_ptr<Op>>& ops) {
  const auto is_ours = [&](const Op* op) {
    return std::any_of(ops.begin(), ops.end(), [op](const auto& mine) { return mine.get() == op; });
  };
  for (auto* halves : {&comm->clique->sends, &comm->clique->receives}) {
    for (auto& [way, queue] : *halves) std::erase_if(queue, is_ours);
  }
  for (auto& [number, meeting] : comm->clique->meetings) {
    for (Op*& op : meeting) {
      if (op != nullptr && is_ours(op)) op = nullptr;
    }
  }
}

Code FakeNccl::Send(const void* memory, uint64_t bytes, int peer, Comm comm, void* stream) {
  Op op;
  op.from = memory;
  op.bytes = bytes;
  op.peer = peer;
  return Add("Send", comm, stream, op);
}

Code FakeNccl::Recv(void* memory, uint64_t bytes, int peer, Comm comm, void* stream) {
  Op op;
  op.to = memory;
  op.bytes = bytes;
  op.peer = peer;
  return Add("Recv", comm, stream, op);
}

Code FakeNccl::Broadcast(const void* from, void* to, uint64_t bytes, int root, Comm comm, void* stream) {
  Op op;
  op.from = from;
  op.to = to;
  op.bytes = bytes;
  op.peer = root;
  return Add("Broadcast", comm, stream, op);
}

Code FakeNccl::AllGather(const void* from, void* to, uint64_t bytes, Comm comm, void* stream) {
  Op op;
  op.from = from;
  op.to = to;
  op.bytes = bytes;
  return Add("AllGather", comm, stream, op);
}

Code FakeNccl::AllReduce(const void* from, void* to, uint64_t count, DType dtype, Comm comm, void* stream) {
  Op op;
  op.from = from;
  op.to = to;
  op.bytes = count * SizeOf(dtype);
  return Add("AllReduce", comm, stream, op);
}

Code FakeNccl::Reduce(const void* from, void* to, uint64_t count, DType dtype, int root, Comm comm, void* stream) {
  Op op;
  op.from = from;
  op.to = to;
  op.bytes = count * SizeOf(dtype);
  op.peer = root;
  return Add("Reduce", comm, stream, op);
}

Code FakeNccl::ReduceScatter(const void* from, void* to, uint64_t count_each, DType dtype, Comm comm, void* stream) {
  Op op;
  op.from = from;
  op.to = to;
  op.bytes = count_each * SizeOf(dtype) * static_cast<FakeComm*>(comm)->clique->size;
  return Add("ReduceScatter", comm, stream, op);
}

}  // namespace millrace::nccl
