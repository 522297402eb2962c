#include "runtime/checkpoint/save.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/checksums.h"
#include "runtime/checkpoint/durable_file.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/data/regular_file.h"

namespace millrace {

using proto::CheckpointManifest;
using proto::TensorPiece;

std::string CheckpointName(uint64_t step) { return absl::StrFormat("step-%08d", step); }

absl::StatusOr<std::string> BeginCheckpoint(const std::string& root, uint64_t step) {
  MR_RETURN_IF_ERROR(MakeFolder(root));
  const std::string temporary = absl::StrCat(root, "/", CheckpointName(step), ".tmp.", getpid());
  if (Exists(temporary)) MR_RETURN_IF_ERROR(RemoveFolder(temporary));
  MR_RETURN_IF_ERROR(MakeFolder(temporary));
  return temporary;
}

absl::Status WriteRankFile(const std::string& temporary, int rank, const ParameterStore& store,
                           CheckpointManifest* part) {
  const std::string name = absl::StrFormat("rank-%04d.bin", rank);
  MR_ASSIGN_OR_RETURN(DurableFile file, DurableFile::Create(absl::StrCat(temporary, "/", name)));
  MR_ASSIGN_OR_RETURN(const std::vector<TensorPart> parts, store.parts());
  std::vector<char> memory;
  for (const TensorPart& stored : parts) {
    if (stored.rank != rank) continue;
    const NamedTensor& tensor = store.tensors()[stored.tensor];
    const uint64_t bytes = (stored.end - stored.begin) * SizeOf(tensor.type.dtype());
    memory.resize(bytes);
    MR_RETURN_IF_ERROR(store.ReadPart(stored, memory.data(), bytes));
    TensorPiece* piece = part->add_pieces();
    piece->set_name(tensor.name);
    *piece->mutable_type() = tensor.type;
    piece->set_begin(stored.begin);
    piece->set_end(stored.end);
    piece->set_file(name);
    piece->set_offset(file.size());
    piece->set_bytes(bytes);
    piece->set_crc32c(Crc32c(memory.data(), bytes));
    MR_RETURN_IF_ERROR(file.Append(memory.data(), bytes));
  }
  proto::CheckpointFile* entry = part->add_files();
  entry->set_name(name);
  entry->set_bytes(file.size());
  entry->set_sha256(file.Sha256Bytes());
  return file.Finish();
}

absl::StatusOr<std::string> CommitCheckpoint(const std::string& root, const std::string& temporary,
                                             CheckpointManifest manifest) {
  // In an order that does not tell who wrote which file.
  std::stable_sort(manifest.mutable_files()->begin(), manifest.mutable_files()->end(),
                   [](const auto& a, const auto& b) { return a.name() < b.name(); });
  std::stable_sort(manifest.mutable_pieces()->begin(), manifest.mutable_pieces()->end(),
                   [](const TensorPiece& a, const TensorPiece& b) { return a.file() < b.file(); });
  manifest.set_schema_version(kSchemaVersion);
  manifest.set_digest(ManifestDigest(manifest));
  MR_RETURN_IF_ERROR(WriteMessage(absl::StrCat(temporary, "/", kManifestName), manifest));
  MR_RETURN_IF_ERROR(SyncFolder(temporary));
  const std::string folder = absl::StrCat(root, "/", CheckpointName(manifest.step()));
  MR_RETURN_IF_ERROR(ReplaceFolder(temporary, folder));
  MR_RETURN_IF_ERROR(SyncFolder(root));
  return folder;
}

void AbandonCheckpoint(const std::string& temporary) { RemoveFolder(temporary).IgnoreError(); }

absl::StatusOr<std::string> SaveCheckpoint(const std::string& root, const CheckpointManifest& facts, int ranks,
                                           const ParameterStore& store) {
  MR_ASSIGN_OR_RETURN(const std::string temporary, BeginCheckpoint(root, facts.step()));
  absl::Cleanup remove = [&] { AbandonCheckpoint(temporary); };
  CheckpointManifest manifest = facts;
  for (int rank = 0; rank < ranks; ++rank) MR_RETURN_IF_ERROR(WriteRankFile(temporary, rank, store, &manifest));
  MR_ASSIGN_OR_RETURN(const std::string folder, CommitCheckpoint(root, temporary, std::move(manifest)));
  std::move(remove).Cancel();
  return folder;
}

}  // namespace millrace
