#include "runtime/rendezvous/gather_rounds.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {

absl::Status CheckGather(absl::string_view key, size_t value_bytes) {
  if (key.empty() || key.size() > kMostKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key of ", key.size(), " bytes; there may be 1 to ", kMostKeyBytes));
  }
  if (value_bytes > kMostValueBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", key, "': a value of ", value_bytes, " bytes; the limit is ", kMostValueBytes));
  }
  return absl::OkStatus();
}

absl::Status GatherRounds::Add(const std::string& key, int rank, const std::string& value) {
  MR_RETURN_IF_ERROR(CheckGather(key, value.size()));
  Round& round = rounds_[key];
  if (round.present.empty()) {
    round.values.resize(size_);
    round.present.resize(size_, false);
  }
  if (round.present[rank]) {
    return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " uses the key '", key, "' twice"));
  }
  round.present[rank] = true;
  round.values[rank] = value;
  ++round.arrived;
  return absl::OkStatus();
}

std::vector<std::shared_ptr<const proto::ToRank>> GatherRounds::TakeComplete(const std::string& key) {
  std::vector<std::shared_ptr<const proto::ToRank>> pieces;
  const auto found = rounds_.find(key);
  if (found == rounds_.end() || found->second.arrived < size_ || found->second.values.empty()) return pieces;
  std::vector<std::string> values = std::exchange(found->second.values, {});
  for (int rank = 0; rank < size_;) {
    auto piece = std::make_shared<proto::ToRank>();
    proto::Gathered& gathered = *piece->mutable_gathered();
    gathered.set_key(key);
    gathered.set_first_rank(rank);
    for (size_t bytes = 0; rank < size_ && (bytes == 0 || bytes + values[rank].size() <= kPieceBytes); ++rank) {
      bytes += values[rank].size() + 1;
      gathered.add_values(std::move(values[rank]));
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::vector<int> GatherRounds::Absent(const std::string& key) const {
  std::vector<int> absent;
  const auto found = rounds_.find(key);
  for (int rank = 0; rank < size_; ++rank) {
    if (found == rounds_.end() || !found->second.present[rank]) absent.push_back(rank);
  }
  return absent;
}

}  // namespace millrace
