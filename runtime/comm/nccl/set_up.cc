// How a rank gets from nothing to a communicator that is ready for its first step.
#include "runtime/comm/nccl/set_up.h"

#include <chrono>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/nccl/device_communicator.h"

namespace millrace::nccl {
namespace {

constexpr char kKey[] = "nccl/id";
constexpr uint64_t kWord = 16;  // bytes of a first word
constexpr auto kPause = std::chrono::microseconds(100);

Patience::Clock::time_point Deadline(absl::Duration within) {
  return Patience::Clock::now() + std::chrono::nanoseconds(absl::ToInt64Nanoseconds(std::min(within, absl::Hours(24))));
}

// The number of NCCL's version, and from rank 0 the id.
absl::StatusOr<UniqueId> Agree(NcclApi* api, Exchange& exchange, absl::Time deadline) {
  int version = 0;
  UniqueId id{};
  if (api->Version(&version) != Code::kSuccess) return absl::UnavailableError("NCCL does not tell its version");
  std::string mine = absl::StrCat(version, "\n");
  if (exchange.rank() == 0) {
    if (const Code code = api->GetUniqueId(&id); code != Code::kSuccess) {
      return absl::UnavailableError(absl::StrCat("NCCL: ncclGetUniqueId: ", api->Describe(code, nullptr)));
    }
    mine.append(id.data(), id.size());
  }
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> all, exchange.AllGather(kKey, mine, deadline));
  for (int rank = 0; rank < static_cast<int>(all.size()); ++rank) {
    const size_t line = all[rank].find('\n');
    int theirs = 0;
    if (line == std::string::npos || !absl::SimpleAtoi(absl::string_view(all[rank]).substr(0, line), &theirs) ||
        all[rank].size() != line + 1 + (rank == 0 ? id.size() : 0)) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " does not say which NCCL it has"));
    }
    if (theirs != version) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " has NCCL version ", theirs, " and rank ",
                                                        exchange.rank(), " has ", version,
                                                        "; all ranks need the same"));
    }
    if (rank == 0) all[0].copy(id.data(), id.size(), line + 1);
  }
  return id;
}

}  // namespace

DeviceCommunicator::DeviceCommunicator(NcclApi* api, Exchange* exchange, std::unique_ptr<Communicator> control,
                                       const NcclOptions& options)
    : api_(api),
      exchange_(exchange),
      options_(options),
      rank_(control->rank()),
      size_(control->size()),
      spins_(SpinsBeforeParking(control->size())),
      routes_(options.groups, rank_, size_),
      comms_(api, rank_, size_, [this] { return Failure(); }),
      sent_(size_, 0),
      received_(size_, 0),
      control_(std::move(control)) {}

// In good order where nothing is on its way, and by an abort otherwise.
DeviceCommunicator::~DeviceCommunicator() {
  {
    std::lock_guard<std::mutex> lock(watcher_mutex_);
    stopping_ = true;
    watcher_wakes_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
  if (Failure().ok()) RetireFinished();
  bool pending = false;
  for (const Record& record : records_) pending = pending || record.open;
  if (!pending && Failure().ok()) comms_.Close(Deadline(options_.leave_within));
  comms_.Abort();
  for (const std::unique_ptr<Stream>& stream : streams_) (void)stream->Synchronize();
}

absl::Status DeviceCommunicator::Attach(Device* device) {
  if (device_ != nullptr) return absl::FailedPreconditionError("NCCL: a communicator is attached to one device, once");
  device_ = device;
  const absl::StatusOr<UniqueId> id = Agree(api_, *exchange_, absl::Now() + options_.set_up_within);
  absl::Status status = id.status();
  if (status.ok()) status = Open(*id);
  if (!status.ok()) Abort(status);  // the others are told why
  return Failure();
}

absl::Status DeviceCommunicator::Open(const UniqueId& id) {
  const auto until = Deadline(options_.set_up_within);
  const auto new_stream = [this]() -> absl::Status {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Stream> stream, device_->NewStream());
    streams_.push_back(std::move(stream));
    return absl::OkStatus();
  };
  MR_RETURN_IF_ERROR(new_stream());
  if (api_->UseDeviceOf(streams_[0]->native()) != Code::kSuccess) {
    return absl::UnavailableError(absl::StrCat("NCCL: rank ", rank_, ": ", device_->name(), " cannot be made current"));
  }
  MR_RETURN_IF_ERROR(comms_.Open(id, options_.one_communicator ? std::vector<NcclGroup>() : options_.groups, until));
  while (static_cast<int>(streams_.size()) < comms_.size()) MR_RETURN_IF_ERROR(new_stream());
  watcher_ = std::thread([this] { Watch(); });
  MR_ASSIGN_OR_RETURN(const Buffer words, device_->Allocate(2 * kWord * size_));
  const absl::Status connected = Connect(static_cast<char*>(words.memory()), until);
  // The words may only go when no kernel writes to them any more.
  return connected.ok() ? connected : Fail(connected);
}

// NCCL connects two ranks when both first call for it, and holds up the host until then; so they do it here, round by
// round, in the order in which the communicators were made.
absl::Status DeviceCommunicator::Connect(char* words, Patience::Clock::time_point until) {
  const auto greet = [&](int channel, const NcclGroup& group, const Comms::CommOf& comm) {
    void* const stream = streams_[channel]->native();
    Code first = Code::kSuccess;
    for (int peer : group.ranks) {
      if (peer == rank_) continue;
      const int index = comms_.index_of(channel, peer);
      for (bool send : {true, false}) {
        if (group.directed && send != (group.ranks[0] == rank_)) continue;
        const Code code = send ? api_->Send(words + kWord * rank_, kWord, index, comm(channel), stream)
                               : api_->Recv(words + kWord * (size_ + peer), kWord, index, comm(channel), stream);
        if (first == Code::kSuccess && code != Code::kInProgress) first = code;
      }
    }
    return first;
  };
  const auto add = [&](int channel, const Comms::CommOf& comm) {
    return api_->AllReduce(words, words, 1, proto::F32, comm(channel), streams_[channel]->native());
  };
  for (const std::vector<int>& round : SplitRounds(options_.groups)) {
    for (int g : round) {
      const NcclGroup& group = options_.groups[g];
      if (std::find(group.ranks.begin(), group.ranks.end(), rank_) == group.ranks.end()) continue;
      const int channel = options_.one_communicator ? 0 : comms_.channel_of(g);
      MR_RETURN_IF_ERROR(comms_.Call(
          {channel}, [&](const auto& comm) { return greet(channel, group, comm); }, until));
      if (options_.one_communicator || group.directed) continue;
      MR_RETURN_IF_ERROR(comms_.Call(
          {channel}, [&](const auto& comm) { return add(channel, comm); }, until));
    }
  }
  if (size_ > 1)
    MR_RETURN_IF_ERROR(comms_.Call(
        {0}, [&](const auto& comm) { return add(0, comm); }, until));
  for (const std::unique_ptr<Stream>& stream : streams_) {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Event> end, device_->NewEvent());
    MR_RETURN_IF_ERROR(stream->Record(end.get()));
    while (!end->Ready()) {
      MR_RETURN_IF_ERROR(Failure());
      if (Patience::Clock::now() > until) {
        return absl::DeadlineExceededError(
            absl::StrCat("NCCL: rank ", rank_, " has no connection yet; is another rank stuck or gone?"));
      }
      std::this_thread::sleep_for(kPause);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeDeviceCommunicator(NcclApi* api, Exchange* exchange,
                                                                         std::unique_ptr<Communicator> control,
                                                                         const NcclOptions& options) {
  if (control->rank() != exchange->rank() || control->size() != exchange->size()) {
    return absl::InvalidArgumentError("NCCL: the exchange and the host's communicator are of different ranks");
  }
  MR_RETURN_IF_ERROR(CheckGroups(options.groups, control->size()));
  return std::make_unique<DeviceCommunicator>(api, exchange, std::move(control), options);
}

}  // namespace millrace::nccl

namespace millrace {

absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeNcclCommunicator(Exchange* exchange,
                                                                       std::unique_ptr<Communicator> control,
                                                                       const NcclOptions& options) {
  MR_ASSIGN_OR_RETURN(nccl::NcclApi * api, nccl::TheNccl());
  return nccl::MakeDeviceCommunicator(api, exchange, std::move(control), options);
}

}  // namespace millrace
