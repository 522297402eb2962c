// The parts of a save that several processes make together, on a file system that they share: one begins, each writes
// the files of its ranks, and once all have said that theirs are on the disk, the first commits. SaveCheckpoint
// (checkpoint.h) is all of it in one process.
#ifndef RUNTIME_CHECKPOINT_SAVE_H_
#define RUNTIME_CHECKPOINT_SAVE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "runtime/checkpoint/tensor_source.h"

namespace millrace {

// Makes an empty folder under `root` that no reader takes for a checkpoint, and returns it. What an earlier save of
// this process has left of it is removed.
absl::StatusOr<std::string> BeginCheckpoint(const std::string& root, uint64_t step);

// Writes and fsyncs the data file of one rank: what the store keeps there. Adds the file and its pieces to `part`.
absl::Status WriteRankFile(const std::string& temporary, int rank, const ParameterStore& store,
                           proto::CheckpointManifest* part);

// Writes the manifest, and the folder gets its name. `manifest` has the facts, and the files and pieces of all ranks.
// Returns the checkpoint's folder; on an error the temporary one stays.
absl::StatusOr<std::string> CommitCheckpoint(const std::string& root, const std::string& temporary,
                                             proto::CheckpointManifest manifest);

// Removes what was begun, as far as it can.
void AbandonCheckpoint(const std::string& temporary);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_SAVE_H_
