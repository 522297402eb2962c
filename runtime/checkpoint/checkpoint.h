// Checkpoints: one folder with a data file for each rank and a manifest that vouches for every byte of them.
//
//   checkpoint/step-00000100/manifest.pb      CheckpointManifest: facts of the run, files, pieces, its own digest
//   checkpoint/step-00000100/rank-0000.bin    tensors one after the other, as the manifest's pieces say
//
// A folder with that name is whole: it is written under another name, every file and the folder are fsynced, it is
// renamed, and the parent is fsynced. Reading checks sizes before it allocates, a CRC32C for each piece, a SHA-256 for
// each file, and that the folder holds nothing else.
#ifndef RUNTIME_CHECKPOINT_CHECKPOINT_H_
#define RUNTIME_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "runtime/checkpoint/tensor_source.h"

namespace millrace {

inline constexpr char kManifestName[] = "manifest.pb";

// "step-00000100"
std::string CheckpointName(uint64_t step);

// Saves the whole store for `facts.step()` into a new folder under `root`, and returns the folder. An older checkpoint
// of the same step is replaced atomically. `facts` is the manifest without files, pieces and digest. On an error (a
// full disk: RESOURCE_EXHAUSTED) nothing that was there before is touched and nothing half-written stays.
absl::StatusOr<std::string> SaveCheckpoint(const std::string& root, const proto::CheckpointManifest& facts, int ranks,
                                           const ParameterStore& store);

// Reads and checks the manifest alone: its digest, and that names, sizes and ranges make sense. Nothing else is opened.
absl::StatusOr<proto::CheckpointManifest> ReadManifest(const std::string& folder);

// Reads and checks everything: DATA_LOSS or INVALID_ARGUMENT names the file and what is wrong with it.
absl::StatusOr<proto::CheckpointManifest> VerifyCheckpoint(const std::string& folder);

// FAILED_PRECONDITION names both plans when the checkpoint was made by another one.
absl::Status CheckPlanHash(const proto::CheckpointManifest& manifest, const std::string& folder,
                           const std::string& plan_hash);

// Verifies, then writes every tensor of the store that it has here. The store's tensors and the checkpoint's must be
// the same, by name and type. Nothing is written to the store before every file that holds some of these tensors has
// been verified; the other files are left to the processes that want them.
absl::StatusOr<proto::CheckpointManifest> LoadCheckpoint(const std::string& folder, const std::string& plan_hash,
                                                         ParameterStore* store);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_CHECKPOINT_H_
