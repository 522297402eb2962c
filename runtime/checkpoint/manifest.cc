#include "runtime/checkpoint/manifest.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/tensor_source.h"

namespace millrace {
namespace {

using proto::CheckpointManifest;
using proto::TensorPiece;

absl::Status Bad(absl::string_view why) { return absl::InvalidArgumentError(std::string(why)); }

bool IsPlainName(absl::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

absl::Status CheckPiece(const TensorPiece& piece) {
  MR_ASSIGN_OR_RETURN(const uint64_t tensor_bytes, TensorBytes(piece.type()));
  const uint64_t size = SizeOf(piece.type().dtype());
  if (piece.begin() > piece.end() || piece.end() > tensor_bytes / size ||
      piece.bytes() != (piece.end() - piece.begin()) * size) {
    return Bad(absl::StrCat("elements [", piece.begin(), ",", piece.end(), ") in ", piece.bytes(),
                            " bytes are not a piece of a tensor of ", tensor_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckFilesAreTiled(const CheckpointManifest& manifest) {
  std::set<absl::string_view> names;
  for (const proto::CheckpointFile& file : manifest.files()) {
    if (!IsPlainName(file.name()))
      return Bad(absl::StrCat("'", absl::CEscape(file.name()), "' is not a plain file name"));
    if (!names.insert(file.name()).second) return Bad(absl::StrCat("file ", file.name(), " is listed twice"));
    uint64_t end = 0;
    for (const TensorPiece* piece : PiecesOf(manifest, file.name())) {
      if (piece->offset() != end || piece->bytes() > file.bytes() - end) {
        return Bad(absl::StrCat("tensor ", piece->name(), " at byte ", piece->offset(), " of ", file.name(), " (",
                                file.bytes(), " bytes) overlaps another, leaves a hole or ends outside"));
      }
      end += piece->bytes();
    }
    if (end != file.bytes())
      return Bad(absl::StrCat("the pieces of ", file.name(), " do not fill its ", file.bytes(), " bytes"));
  }
  for (const TensorPiece& piece : manifest.pieces()) {
    if (names.count(piece.file()) == 0) {
      return Bad(absl::StrCat("tensor ", piece.name(), " is in a file that is not listed: '",
                              absl::CEscape(piece.file()), "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTensorsAreTiled(const CheckpointManifest& manifest) {
  std::map<absl::string_view, std::vector<const TensorPiece*>> tensors;
  for (const TensorPiece& piece : manifest.pieces()) tensors[piece.name()].push_back(&piece);
  for (auto& [name, pieces] : tensors) {
    std::sort(pieces.begin(), pieces.end(), [](auto* a, auto* b) { return a->begin() < b->begin(); });
    uint64_t end = 0;
    for (const TensorPiece* piece : pieces) {
      if (piece->begin() != end || CanonicalBytes(piece->type()) != CanonicalBytes(pieces[0]->type())) {
        return Bad(absl::StrCat("the pieces of tensor ", name, " overlap, leave a hole or disagree in type"));
      }
      end = piece->end();
    }
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, TensorBytes(pieces[0]->type()));
    if (end != bytes / SizeOf(pieces[0]->type().dtype())) {
      return Bad(absl::StrCat("the pieces of tensor ", name, " hold ", end, " elements, which is not all of it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string ManifestDigest(const CheckpointManifest& manifest) {
  CheckpointManifest copy = manifest;
  copy.clear_digest();
  return absl::HexStringToBytes(Sha256Hex(CanonicalBytes(copy)));
}

absl::Status CheckManifest(const CheckpointManifest& manifest) {
  if (manifest.digest() != ManifestDigest(manifest)) {
    return Bad("the digest does not match the contents: the manifest was damaged or changed");
  }
  for (const TensorPiece& piece : manifest.pieces()) {
    const absl::Status status = CheckPiece(piece);
    if (!status.ok()) return Bad(absl::StrCat("tensor ", piece.name(), ": ", status.message()));
  }
  MR_RETURN_IF_ERROR(CheckFilesAreTiled(manifest));
  return CheckTensorsAreTiled(manifest);
}

std::vector<const TensorPiece*> PiecesOf(const CheckpointManifest& manifest, absl::string_view file) {
  std::vector<const TensorPiece*> pieces;
  for (const TensorPiece& piece : manifest.pieces()) {
    if (piece.file() == file) pieces.push_back(&piece);
  }
  // Empty pieces first among those that begin together.
  std::sort(pieces.begin(), pieces.end(), [](auto* a, auto* b) {
    return a->offset() != b->offset() ? a->offset() < b->offset() : a->bytes() < b->bytes();
  });
  return pieces;
}

}  // namespace millrace
