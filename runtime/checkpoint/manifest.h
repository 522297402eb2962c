// What a manifest must satisfy before anything it says is believed.
#ifndef RUNTIME_CHECKPOINT_MANIFEST_H_
#define RUNTIME_CHECKPOINT_MANIFEST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/checkpoint.pb.h"

namespace millrace {

// 32 bytes: SHA-256 of the deterministic binary form with `digest` empty.
std::string ManifestDigest(const proto::CheckpointManifest& manifest);

// Digest, plain file names, pieces that tile every file and every tensor without gap or overlap. INVALID_ARGUMENT.
absl::Status CheckManifest(const proto::CheckpointManifest& manifest);

// The pieces of a file in the order of their bytes.
std::vector<const proto::TensorPiece*> PiecesOf(const proto::CheckpointManifest& manifest, absl::string_view file);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_MANIFEST_H_
