#include "runtime/comm/faulty.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/comm/control_tag.h"

namespace millrace {
namespace {

// Tags of dropped transfers: no other half has one like it.
constexpr uint64_t kNowhere = 0xfa17'0000'0000'0000u;

class FaultyCommunicator : public Communicator {
 public:
  FaultyCommunicator(std::shared_ptr<Communicator> inner, std::vector<Fault> faults)
      : inner_(std::move(inner)), faults_(std::move(faults)), seen_(faults_.size(), 0) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override {
    std::vector<Transfer> now;
    Outer outer;
    for (Transfer transfer : group) {
      const Fault* fault = Strikes(transfer);
      if (fault != nullptr && fault->kind == Fault::Kind::kDelay) {
        outer.late.push_back(transfer);
        outer.at = std::max(outer.at, absl::Now() + fault->delay);
        continue;
      }
      if (fault != nullptr && fault->kind == Fault::Kind::kDrop) transfer.tag = kNowhere + ++dropped_;
      if (fault != nullptr && fault->kind == Fault::Kind::kWrongSize) transfer.bytes /= 2;
      now.push_back(transfer);
    }
    MR_ASSIGN_OR_RETURN(const Ticket ticket, inner_->Post(now));
    outer.tickets.push_back(ticket);
    outer_[next_] = std::move(outer);
    return next_++;
  }

  bool Done(Ticket ticket) override {
    const auto outer = outer_.find(ticket);
    if (outer == outer_.end()) return true;
    if (!PostLate(&outer->second).ok()) return true;  // Wait says why
    const auto done = [this](Ticket inner) { return inner_->Done(inner); };
    return outer->second.late.empty() &&
           std::all_of(outer->second.tickets.begin(), outer->second.tickets.end(), done);
  }

  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override {
    for (size_t f = 0; f < faults_.size(); ++f) {
      if (faults_[f].kind != Fault::Kind::kKillWait || ++seen_[f] != faults_[f].nth) continue;
      const absl::Status killed = absl::UnavailableError(
          absl::StrCat("injected: wait ", faults_[f].nth, " of rank ", rank(), " was killed: ", what ? what() : ""));
      inner_->Abort(killed);
    }
    if (ticket >= next_) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank(), " never issued ticket ", ticket));
    }
    const auto found = outer_.find(ticket);
    if (found == outer_.end()) return absl::OkStatus();
    Outer outer = std::move(found->second);
    outer_.erase(found);
    while (!outer.late.empty()) {
      MR_RETURN_IF_ERROR(PostLate(&outer));
      if (!outer.late.empty()) absl::SleepFor(absl::Milliseconds(1));
    }
    absl::Status status;
    for (Ticket inner : outer.tickets) {
      const absl::Status one = inner_->Wait(inner, what);
      if (status.ok()) status = one;
    }
    return status;
  }

  absl::Status Barrier() override { return inner_->Barrier(); }
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    return inner_->AllGather(mine, all, bytes);
  }
  void Abort(absl::Status why) override {
    aborted_.store(true);
    inner_->Abort(std::move(why));
  }
  absl::Status Failure() const override { return inner_->Failure(); }
  absl::Status Attach(Device* device) override { return inner_->Attach(device); }
  absl::Status Register(void* memory, uint64_t bytes) override { return inner_->Register(memory, bytes); }
  void Unregister() override { inner_->Unregister(); }

 private:
  struct Outer {
    std::vector<Ticket> tickets;  // of the inner communicator
    std::vector<Transfer> late;
    absl::Time at = absl::InfinitePast();
  };

  const Fault* Strikes(const Transfer& transfer) {
    if (transfer.tag == kControlTag) return nullptr;
    for (size_t f = 0; f < faults_.size(); ++f) {
      const Fault& fault = faults_[f];
      if (fault.kind == Fault::Kind::kKillWait || fault.send != transfer.send) continue;
      if (fault.peer >= 0 && fault.peer != transfer.peer) continue;
      if (++seen_[f] == fault.nth) return &fault;
    }
    return nullptr;
  }

  // Once its time has come, or when there is nothing left to wait for.
  absl::Status PostLate(Outer* outer) {
    if (outer->late.empty() || (absl::Now() < outer->at && !aborted_.load())) return absl::OkStatus();
    MR_ASSIGN_OR_RETURN(const Ticket ticket, inner_->Post(outer->late));
    outer->tickets.push_back(ticket);
    outer->late.clear();
    return absl::OkStatus();
  }

  const std::shared_ptr<Communicator> inner_;
  const std::vector<Fault> faults_;
  std::vector<uint64_t> seen_;  // transfers, or waits, that each fault has counted
  std::map<Ticket, Outer> outer_;
  Ticket next_ = 1;
  uint64_t dropped_ = 0;
  std::atomic<bool> aborted_{false};
};

absl::StatusOr<Fault> ParseFault(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(absl::StripAsciiWhitespace(text), ':');
  const std::map<absl::string_view, Fault::Kind> kinds = {{"drop", Fault::Kind::kDrop},
                                                          {"delay", Fault::Kind::kDelay},
                                                          {"wrong-size", Fault::Kind::kWrongSize},
                                                          {"kill-wait", Fault::Kind::kKillWait}};
  const auto wrong = [&](absl::string_view word) {
    return absl::InvalidArgumentError(absl::StrCat(
        "fault '", text, "': '", word,
        "' is not understood; write KIND[:send|recv][:peer=N][:nth=N][:ms=N] with KIND drop, delay, wrong-size or "
        "kill-wait"));
  };
  Fault fault;
  const auto kind = kinds.find(words[0]);
  if (kind == kinds.end()) return wrong(words[0]);
  fault.kind = kind->second;
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    int64_t ms = 0;
    if (word == "send" || word == "recv") {
      fault.send = word == "send";
    } else if (absl::ConsumePrefix(&word, "peer=")) {
      if (!absl::SimpleAtoi(word, &fault.peer) || fault.peer < 0) return wrong(words[i]);
    } else if (absl::ConsumePrefix(&word, "nth=")) {
      if (!absl::SimpleAtoi(word, &fault.nth) || fault.nth == 0) return wrong(words[i]);
    } else if (absl::ConsumePrefix(&word, "ms=")) {
      if (!absl::SimpleAtoi(word, &ms) || ms < 0) return wrong(words[i]);
      fault.delay = absl::Milliseconds(ms);
    } else {
      return wrong(words[i]);
    }
  }
  return fault;
}

}  // namespace

absl::StatusOr<std::vector<Fault>> ParseFaults(absl::string_view text) {
  std::vector<Fault> faults;
  for (absl::string_view one : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    MR_ASSIGN_OR_RETURN(const Fault fault, ParseFault(one));
    faults.push_back(fault);
  }
  return faults;
}

std::unique_ptr<Communicator> MakeFaultyCommunicator(std::shared_ptr<Communicator> inner, std::vector<Fault> faults) {
  return std::make_unique<FaultyCommunicator>(std::move(inner), std::move(faults));
}

}  // namespace millrace
