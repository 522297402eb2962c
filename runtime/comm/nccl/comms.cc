#include "runtime/comm/nccl/comms.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace::nccl {
namespace {

constexpr auto kPause = std::chrono::microseconds(50);
constexpr int kQuickLooks = 200;  // before the first pause: a launch takes some microseconds

absl::StatusCode CodeOf(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kInvalidUsage:
      return absl::StatusCode::kFailedPrecondition;
    case Code::kInternalError:
      return absl::StatusCode::kInternal;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status Comms::ToStatus(Code code, Comm comm, absl::string_view what) {
  if (code == Code::kSuccess || code == Code::kInProgress) return absl::OkStatus();
  const char* const advice = code == Code::kInvalidUsage
                                 ? " (set NCCL_DEBUG=INFO to see more; each rank needs a GPU of its own)"
                                 : " (set NCCL_DEBUG=INFO to see more)";
  return absl::Status(CodeOf(code),
                      absl::StrCat("NCCL: rank ", rank_, ", ", what, ": ", api_->Describe(code, comm), advice));
}

absl::Status Comms::Aborted() const {
  return absl::AbortedError(absl::StrCat("NCCL: the communicators of rank ", rank_, " were aborted"));
}

absl::Status Comms::Settle(Comm comm, absl::string_view what, Clock::time_point until) {
  for (int looks = 0;; ++looks) {
    Code state = Code::kSuccess;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (aborted_) return Aborted();
      MR_RETURN_IF_ERROR(ToStatus(api_->AsyncError(comm, &state), comm, what));
      if (state != Code::kInProgress) return ToStatus(state, comm, what);
    }
    if (looks < kQuickLooks) continue;
    MR_RETURN_IF_ERROR(failure_());
    if (Clock::now() > until) {
      return absl::DeadlineExceededError(
          absl::StrCat("NCCL: rank ", rank_, ", ", what, ": still in progress; is another rank stuck or gone?"));
    }
    std::this_thread::sleep_for(kPause);
  }
}

absl::Status Comms::Open(const UniqueId& id, const std::vector<NcclGroup>& groups, Clock::time_point until) {
  channel_of_group_.assign(groups.size(), -1);
  Channel& all = channels_.emplace_back();
  all.name = "all ranks";
  for (int rank = 0; rank < size_; ++rank) all.ranks.push_back(rank);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (aborted_) return Aborted();
    MR_RETURN_IF_ERROR(ToStatus(api_->InitRank(&all.comm, size_, id, rank_), nullptr, "ncclCommInitRankConfig"));
  }
  MR_RETURN_IF_ERROR(Settle(all.comm, "ncclCommInitRankConfig", until));

  for (const std::vector<int>& round : SplitRounds(groups)) {
    int color = kNoColor;
    for (size_t member = 0; member < round.size(); ++member) {
      const std::vector<int>& ranks = groups[round[member]].ranks;
      if (std::find(ranks.begin(), ranks.end(), rank_) != ranks.end()) color = static_cast<int>(member);
    }
    Comm nobody = nullptr;
    Channel* child = nullptr;
    int key = 0;
    if (color != kNoColor) {
      const NcclGroup& group = groups[round[color]];
      channel_of_group_[round[color]] = size();
      std::lock_guard<std::mutex> lock(mutex_);
      child = &channels_.emplace_back();
      child->name = group.name;
      child->ranks = group.ranks;
      key = index_of(size() - 1, rank_);
    }
    const std::string what = absl::StrCat("ncclCommSplit for ", child == nullptr ? "other ranks" : child->name);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (aborted_) return Aborted();
      MR_RETURN_IF_ERROR(
          ToStatus(api_->Split(all.comm, color, key, /*share=*/true, child == nullptr ? &nobody : &child->comm),
                   all.comm, what));
    }
    // The parent first: NCCL fills in the child when the parent is done, and takes no other call before.
    MR_RETURN_IF_ERROR(Settle(all.comm, what, until));
    if (child != nullptr) MR_RETURN_IF_ERROR(Settle(child->comm, what, until));
  }
  return absl::OkStatus();
}

int Comms::index_of(int channel, int rank) const {
  const std::vector<int>& ranks = channels_[channel].ranks;
  const auto found = std::find(ranks.begin(), ranks.end(), rank);
  return found == ranks.end() ? -1 : static_cast<int>(found - ranks.begin());
}

absl::Status Comms::Call(absl::Span<const int> channels, const std::function<Code(const CommOf&)>& calls,
                         Clock::time_point until) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (aborted_) return Aborted();
    MR_RETURN_IF_ERROR(ToStatus(api_->GroupStart(), nullptr, "ncclGroupStart"));
    const Code called = calls([this](int channel) { return channels_[channel].comm; });
    const Code ended = api_->GroupEnd();  // whatever happened in between: groups are counted
    Comm const comm = channels.empty() ? nullptr : channels_[channels[0]].comm;
    MR_RETURN_IF_ERROR(ToStatus(called, comm, "a call of a group"));
    MR_RETURN_IF_ERROR(ToStatus(ended, comm, "ncclGroupEnd"));
  }
  // Until then nothing may be put behind it on the stream, an event neither.
  for (int channel : channels) MR_RETURN_IF_ERROR(Settle(channels_[channel].comm, channels_[channel].name, until));
  return absl::OkStatus();
}

absl::Status Comms::Register(void* memory, uint64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (aborted_) return Aborted();
  for (Channel& channel : channels_) {
    if (channel.registered != nullptr) return absl::FailedPreconditionError("NCCL: memory is registered once");
    MR_RETURN_IF_ERROR(
        ToStatus(api_->Register(channel.comm, memory, bytes, &channel.registered), channel.comm, "ncclCommRegister"));
  }
  return absl::OkStatus();
}

void Comms::Unregister() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!aborted_) Forget();
}

void Comms::Forget() {
  for (Channel& channel : channels_) {
    if (channel.comm != nullptr && channel.registered != nullptr) api_->Deregister(channel.comm, channel.registered);
    channel.registered = nullptr;
  }
}

absl::Status Comms::Check() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (aborted_) return absl::OkStatus();
  for (Channel& channel : channels_) {
    if (channel.comm == nullptr) continue;
    Code state = Code::kSuccess;
    MR_RETURN_IF_ERROR(ToStatus(api_->AsyncError(channel.comm, &state), channel.comm, channel.name));
    MR_RETURN_IF_ERROR(ToStatus(state, channel.comm, channel.name));
  }
  return absl::OkStatus();
}

bool Comms::aborted() {
  std::lock_guard<std::mutex> lock(mutex_);
  return aborted_;
}

// Children first: they use what the parent owns.
void Comms::Abort() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (aborted_) return;
  aborted_ = true;
  for (auto channel = channels_.rbegin(); channel != channels_.rend(); ++channel) {
    if (channel->comm != nullptr) api_->Abort(channel->comm);
    channel->comm = nullptr;
  }
}

void Comms::Close(Clock::time_point until) {
  bool well = true;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (aborted_) return;
    Forget();
    for (auto channel = channels_.rbegin(); channel != channels_.rend(); ++channel) {
      if (channel->comm == nullptr) continue;
      const Code code = api_->Finalize(channel->comm);
      well = well && (code == Code::kSuccess || code == Code::kInProgress);
    }
  }
  for (auto channel = channels_.rbegin(); channel != channels_.rend() && well; ++channel) {
    if (channel->comm == nullptr) continue;
    well = Settle(channel->comm, "ncclCommFinalize", until).ok();
    std::lock_guard<std::mutex> lock(mutex_);
    if (!well || aborted_) break;
    api_->Destroy(channel->comm);
    channel->comm = nullptr;
  }
  Abort();
}

}  // namespace millrace::nccl
