#include "runtime/job/whereabouts.h"

#include "absl/strings/str_cat.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

bool SameWork(const Instruction& a, const Instruction& b) {
  return a.kind() == b.kind() && a.bucket() == b.bucket() && a.chunk() == b.chunk();
}

// "REDUCE bucket 2", "RUN 1F"; empty where the kind says it all.
std::string WordsFor(const Instruction& instruction) {
  switch (instruction.kind()) {
    case Instruction::RUN:
      return absl::StrCat("RUN ", instruction.stage(), proto::Phase_Name(instruction.phase()));
    case Instruction::GATHER:
      if (instruction.chunk()) return absl::StrCat("GATHER stage ", instruction.stage());
      [[fallthrough]];
    case Instruction::REDUCE:
    case Instruction::STEP:
      return absl::StrCat(Instruction::Kind_Name(instruction.kind()), " bucket ", instruction.bucket());
    case Instruction::PREPARE:
    case Instruction::RELEASE:
      return absl::StrCat(Instruction::Kind_Name(instruction.kind()), " stage ", instruction.stage());
    default:
      return "";
  }
}

}  // namespace

StandFn Whereabouts::stand() {
  if (idle()) return {};
  return [this](const Standpoint& stand) { Stand(stand); };
}

void Whereabouts::Begin(absl::string_view program, uint64_t step) {
  if (idle()) return;
  program_ = FindProgram(plan_, program);
  step_ = step;
  current_ = -1;
  last_ = Standpoint();
  if (program_ == nullptr || words_.count(program_) > 0) return;
  std::vector<std::string>& words = words_[program_];
  for (const Instruction& instruction : ListOf(rank_).instructions()) words.push_back(WordsFor(instruction));
}

void Whereabouts::Between(absl::string_view what) {
  if (idle()) return;
  if (program_ != nullptr) MeetFaultsAt(PointFault::When::kAfter, current_);
  program_ = nullptr;
  last_ = Standpoint();
  last_.action = what;
}

void Whereabouts::Pass(absl::string_view point) {
  if (!faults_.empty()) MeetFaults(PointFault::When::kBefore, point);
}

void Whereabouts::Stand(const Standpoint& stand) {
  last_ = stand;
  added_ = false;
  if (program_ != nullptr && stand.instruction >= 0) {
    const std::vector<std::string>& words = words_.at(program_);
    if (stand.instruction < words.size() && !words[stand.instruction].empty()) last_.action = words[stand.instruction];
  }
  if (tell_) tell_(last_);
  if (faults_.empty()) return;
  // A wait is for an instruction that began before, or for the one that begins.
  const bool begins = stand.peer == -1 && stand.instruction > current_;
  if (!begins) return MeetFaultsAt(PointFault::When::kWaiting, stand.instruction);
  MeetFaultsAt(PointFault::When::kAfter, current_);
  current_ = stand.instruction;
  MeetFaultsAt(PointFault::When::kBefore, current_);
}

void Whereabouts::WaitFor(int peer) {
  if (idle() || last_.peer != -1) return;
  last_.peer = peer;
  last_.peer_instruction = OtherHalf(last_.instruction, peer);
  added_ = true;
  if (tell_) tell_(last_);
  if (program_ != nullptr && !faults_.empty()) MeetFaultsAt(PointFault::When::kWaiting, last_.instruction);
}

void Whereabouts::Resume() {
  if (!added_) return;
  added_ = false;
  last_.peer = -1;
  last_.peer_instruction = -1;
  if (tell_) tell_(last_);
}

// The peer's instruction for the same bucket; of several, the one that comes as many times later than the first.
int64_t Whereabouts::OtherHalf(int64_t instruction, int peer) const {
  if (program_ == nullptr || instruction < 0 || peer < 0) return -1;
  const proto::RankProgram& mine = ListOf(rank_);
  if (instruction >= mine.instructions_size()) return -1;
  const Instruction& wanted = mine.instructions(static_cast<int>(instruction));
  int before = 0;
  for (int i = 0; i < instruction; ++i) before += SameWork(mine.instructions(i), wanted) ? 1 : 0;
  const proto::RankProgram& theirs = ListOf(peer);
  for (int i = 0; i < theirs.instructions_size(); ++i) {
    if (SameWork(theirs.instructions(i), wanted) && before-- == 0) return i;
  }
  return -1;
}

void Whereabouts::MeetFaultsAt(PointFault::When when, int64_t instruction) {
  if (program_ == nullptr || instruction < 0) return;
  const proto::RankProgram& list = ListOf(rank_);
  if (instruction >= list.instructions_size()) return;
  const Instruction& at = list.instructions(static_cast<int>(instruction));
  // A group counts as what it begins with, as in standpoints.
  const Instruction& named = at.group_size() > 0 ? at.group(0) : at;
  const std::string kind = Instruction::Kind_Name(named.kind());
  MeetFaults(when, kind, named.kind() == Instruction::RUN ? absl::StrCat(kind, "_", Phase_Name(named.phase())) : "");
}

void Whereabouts::MeetFaults(PointFault::When when, absl::string_view point, absl::string_view narrower) {
  for (size_t f = 0; f < faults_.size(); ++f) {
    const PointFault& fault = faults_[f];
    if (fault.when != when || (fault.point != point && fault.point != narrower)) continue;
    if (fault.step > 0 && fault.step != step_) continue;
    if (++passed_[f] == fault.nth) Strike(fault);
  }
}

}  // namespace millrace
