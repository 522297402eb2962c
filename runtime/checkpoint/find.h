// Which checkpoints a run's folder holds, which to resume from, which to keep.
#ifndef RUNTIME_CHECKPOINT_FIND_H_
#define RUNTIME_CHECKPOINT_FIND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace {

struct CheckpointFolder {
  uint64_t step = 0;
  std::string path;
};

// By falling step. Entries of other names are passed over; a folder that does not exist holds none.
absl::StatusOr<std::vector<CheckpointFolder>> ListCheckpoints(const std::string& root);

struct FoundCheckpoint {
  std::string path;
  std::vector<std::string> broken;  // newer ones that were refused, with the reason, newest first
};

// The newest one that passes VerifyCheckpoint. NOT_FOUND when there is none at all; DATA_LOSS, listing the reasons,
// when all of them are broken.
absl::StatusOr<FoundCheckpoint> NewestCheckpoint(const std::string& root);

// Removes what interrupted saves of processes of this machine that are gone have left.
absl::Status RemoveAbandoned(const std::string& root);

// Removes all but the newest `kept` checkpoints (0: removes none), and what saves that were interrupted have left.
// Nothing is removed unless the newest one verifies.
absl::Status KeepNewest(const std::string& root, int kept);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_FIND_H_
