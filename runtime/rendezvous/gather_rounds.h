// The coordinator's side of Exchange::AllGather: a round for each key, complete when every rank has brought its value.
#ifndef RUNTIME_RENDEZVOUS_GATHER_ROUNDS_H_
#define RUNTIME_RENDEZVOUS_GATHER_ROUNDS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/control.pb.h"

namespace millrace {

inline constexpr size_t kMostKeyBytes = 256;
inline constexpr size_t kMostValueBytes = size_t{64} << 10;
// Of values in one Gathered message, unless a single value needs more.
inline constexpr size_t kPieceBytes = size_t{256} << 10;

// INVALID_ARGUMENT for a key or a value beyond the limits.
absl::Status CheckGather(absl::string_view key, size_t value_bytes);

// Not thread-safe.
class GatherRounds {
 public:
  explicit GatherRounds(int size) : size_(size) {}

  // INVALID_ARGUMENT beyond the limits, FAILED_PRECONDITION for a key that this rank has used before.
  absl::Status Add(const std::string& key, int rank, const std::string& value);
  // All values, as messages that every rank gets; empty while the round is not complete. The values are forgotten, the
  // key is not.
  std::vector<std::shared_ptr<const proto::ToRank>> TakeComplete(const std::string& key);
  // The ranks whose value has not come.
  std::vector<int> Absent(const std::string& key) const;

 private:
  struct Round {
    std::vector<std::string> values;
    std::vector<bool> present;
    int arrived = 0;
  };

  const int size_;
  std::map<std::string, Round> rounds_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_GATHER_ROUNDS_H_
