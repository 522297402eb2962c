#include "tests/mutants/exchange.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {

void Exchange::Send(const Parcel& parcel, std::vector<char> bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  under_way_[parcel].push_back(std::move(bytes));
  changed_.notify_all();
}

std::optional<std::vector<char>> Exchange::Take(int rank, const Parcel& parcel) {
  std::unique_lock<std::mutex> lock(mutex_);
  waits_[rank] = parcel;
  while (under_way_.count(parcel) == 0 && !hangs_ && race_.empty()) {
    if (Stuck()) {
      hangs_ = true;
      changed_.notify_all();
      break;
    }
    changed_.wait(lock);
  }
  if (hangs_ || !race_.empty()) return std::nullopt;
  waits_[rank].reset();
  const auto found = under_way_.find(parcel);
  std::vector<char> bytes = std::move(found->second.front());
  found->second.pop_front();
  if (found->second.empty()) under_way_.erase(found);
  return bytes;
}

void Exchange::Race(const std::string& what) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (race_.empty()) race_ = what;
  changed_.notify_all();
}

void Exchange::Finish(int rank) {
  std::lock_guard<std::mutex> lock(mutex_);
  finished_[rank] = true;
  if (Stuck()) hangs_ = true;
  changed_.notify_all();
}

// Some rank waits, and every one that has not finished waits for what is not there.
bool Exchange::Stuck() const {
  bool waits = false;
  for (size_t r = 0; r < waits_.size(); ++r) {
    if (finished_[r]) continue;
    if (!waits_[r].has_value() || under_way_.count(*waits_[r]) != 0) return false;
    waits = true;
  }
  return waits;
}

Outcome Exchange::outcome() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!race_.empty()) return Outcome::kRace;
  return hangs_ || !under_way_.empty() ? Outcome::kHang : Outcome::kFinished;
}

std::string Exchange::why() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!race_.empty()) return race_;
  std::string text;
  for (size_t r = 0; r < waits_.size(); ++r) {
    if (!hangs_ || finished_[r] || !waits_[r].has_value()) continue;
    absl::StrAppend(&text, "rank ", r, " waits for value ", waits_[r]->value, " of micro-batch ",
                    waits_[r]->micro_batch, "; ");
  }
  for (const auto& [parcel, queue] : under_way_) {
    if (!hangs_) absl::StrAppend(&text, "rank ", parcel.to, " never takes value ", parcel.value, "; ");
  }
  return text;
}

}  // namespace millrace
