#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/checksums.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/data/regular_file.h"

namespace millrace {
namespace {

using proto::CheckpointManifest;
using proto::TensorPiece;

constexpr uint64_t kMaxManifestBytes = uint64_t{256} << 20;
constexpr uint64_t kChunk = uint64_t{4} << 20;

absl::Status Damaged(const std::string& path, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(path, ": ", why, ": the file was damaged or is not the one that was saved"));
}

// One pass over the bytes for both checksums.
absl::Status VerifyFile(const std::string& folder, const CheckpointManifest& manifest,
                        const proto::CheckpointFile& entry) {
  const std::string path = absl::StrCat(folder, "/", entry.name());
  MR_ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path, /*follow_links=*/false));
  if (file.size() != entry.bytes()) {
    return Damaged(path, absl::StrCat(file.size(), " bytes instead of ", entry.bytes()));
  }
  std::vector<char> chunk(std::min(kChunk, file.size()));
  Sha256 sha256;
  for (const TensorPiece* piece : PiecesOf(manifest, entry.name())) {
    uint32_t crc = 0;
    for (uint64_t done = 0; done < piece->bytes();) {
      const uint64_t part = std::min(kChunk, piece->bytes() - done);
      MR_RETURN_IF_ERROR(file.ReadAt(piece->offset() + done, chunk.data(), part));
      crc = Crc32c(chunk.data(), part, crc);
      sha256.Update(chunk.data(), part);
      done += part;
    }
    if (crc != piece->crc32c()) return Damaged(path, absl::StrCat("wrong CRC32C of tensor ", piece->name()));
  }
  if (sha256.Finish() != entry.sha256()) return Damaged(path, "wrong SHA-256");
  return absl::OkStatus();
}

absl::Status CheckFolderHoldsOnly(const std::string& folder, const CheckpointManifest& manifest) {
  std::set<std::string> expected = {kManifestName};
  for (const proto::CheckpointFile& file : manifest.files()) expected.insert(file.name());
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    if (expected.count(name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, ": holds ", name, ", which the manifest does not name; move it away"));
    }
  }
  return absl::OkStatus();
}

std::map<std::string, int> IndexByName(const ParameterStore& store) {
  std::map<std::string, int> indices;
  for (int i = 0; i < store.tensors().size(); ++i) indices[store.tensors()[i].name] = i;
  return indices;
}

// The tensors of both sides are the same.
absl::Status CheckFits(const CheckpointManifest& manifest, const std::string& folder, const ParameterStore& store) {
  const std::map<std::string, int> indices = IndexByName(store);
  std::set<std::string> held;
  for (const TensorPiece& piece : manifest.pieces()) {
    const auto at = indices.find(piece.name());
    if (at == indices.end() || CanonicalBytes(piece.type()) != CanonicalBytes(store.tensors()[at->second].type)) {
      return absl::FailedPreconditionError(
          absl::StrCat(folder, ": tensor ", piece.name(), " of type ", piece.type().ShortDebugString(),
                       at == indices.end() ? " is not one of the plan's" : " has another type in the plan"));
    }
    held.insert(piece.name());
  }
  for (const NamedTensor& tensor : store.tensors()) {
    if (held.count(tensor.name) == 0) {
      return absl::FailedPreconditionError(absl::StrCat(folder, ": lacks tensor ", tensor.name, " of the plan"));
    }
  }
  return absl::OkStatus();
}

// The files that hold nothing but tensors of other processes.
std::set<std::string> FilesOfOthers(const CheckpointManifest& manifest, const ParameterStore& store) {
  const std::map<std::string, int> indices = IndexByName(store);
  std::set<std::string> files;
  for (const TensorPiece& piece : manifest.pieces()) files.insert(piece.file());
  for (const TensorPiece& piece : manifest.pieces()) {
    const auto at = indices.find(piece.name());
    if (at != indices.end() && store.is_here(at->second)) files.erase(piece.file());
  }
  return files;
}

absl::Status RestoreTensor(const CheckpointManifest& manifest, const std::string& folder, int index,
                           const std::vector<const TensorPiece*>& pieces, ParameterStore* store) {
  MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(store->tensors()[index].type));
  std::vector<char> memory(bytes);
  for (const TensorPiece* piece : pieces) {
    const std::string path = absl::StrCat(folder, "/", piece->file());
    MR_ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path, /*follow_links=*/false));
    char* to = memory.data() + piece->begin() * SizeOf(piece->type().dtype());
    MR_RETURN_IF_ERROR(file.ReadAt(piece->offset(), to, piece->bytes()));
    // The file was verified a moment ago, but it is another read.
    if (Crc32c(to, piece->bytes()) != piece->crc32c()) {
      return Damaged(path, absl::StrCat("wrong CRC32C of tensor ", piece->name()));
    }
  }
  return store->Write(index, memory.data(), bytes);
}

}  // namespace

absl::StatusOr<CheckpointManifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifestName);
  MR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxManifestBytes));
  CheckpointManifest manifest;
  MR_RETURN_IF_ERROR(ParseMessage(bytes, path, &manifest));
  // Other bytes may mean the same message; what was written is the deterministic form.
  if (CanonicalBytes(manifest) != bytes) return Damaged(path, "not in the form that was written");
  const absl::Status status = CheckManifest(manifest);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  return manifest;
}

absl::StatusOr<CheckpointManifest> VerifyCheckpoint(const std::string& folder) {
  MR_ASSIGN_OR_RETURN(CheckpointManifest manifest, ReadManifest(folder));
  MR_RETURN_IF_ERROR(CheckFolderHoldsOnly(folder, manifest));
  for (const proto::CheckpointFile& file : manifest.files()) MR_RETURN_IF_ERROR(VerifyFile(folder, manifest, file));
  return manifest;
}

absl::Status CheckPlanHash(const CheckpointManifest& manifest, const std::string& folder,
                           const std::string& plan_hash) {
  if (manifest.plan_hash() == plan_hash) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder, ": was made by plan ", manifest.plan_hash(), ", but this run has plan ", plan_hash,
                   "; resume with the plan.pb of that run, or start a new run in another folder"));
}

absl::StatusOr<CheckpointManifest> LoadCheckpoint(const std::string& folder, const std::string& plan_hash,
                                                  ParameterStore* store) {
  MR_ASSIGN_OR_RETURN(CheckpointManifest manifest, ReadManifest(folder));
  MR_RETURN_IF_ERROR(CheckPlanHash(manifest, folder, plan_hash));
  MR_RETURN_IF_ERROR(CheckFits(manifest, folder, *store));
  MR_RETURN_IF_ERROR(CheckFolderHoldsOnly(folder, manifest));
  const std::set<std::string> of_others = FilesOfOthers(manifest, *store);
  for (const proto::CheckpointFile& file : manifest.files()) {
    if (of_others.count(file.name()) == 0) MR_RETURN_IF_ERROR(VerifyFile(folder, manifest, file));
  }
  std::map<std::string, std::vector<const TensorPiece*>> pieces;
  for (const TensorPiece& piece : manifest.pieces()) pieces[piece.name()].push_back(&piece);
  for (int i = 0; i < store->tensors().size(); ++i) {
    if (!store->is_here(i)) continue;
    MR_RETURN_IF_ERROR(RestoreTensor(manifest, folder, i, pieces[store->tensors()[i].name], store));
  }
  return manifest;
}

}  // namespace millrace
