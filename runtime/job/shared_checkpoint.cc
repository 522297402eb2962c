#include "runtime/job/shared_checkpoint.h"

#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/durable_file.h"
#include "runtime/checkpoint/save.h"
#include "runtime/job/agree.h"

namespace millrace {
namespace {

constexpr absl::string_view kShared = "; a run of several processes needs a folder that all of them see";

// Files and pieces of the ranks here.
absl::Status WriteFilesHere(const std::string& temporary, const ParameterStore& store, Ranks& ranks,
                            proto::CheckpointManifest* part) {
  part->set_schema_version(kSchemaVersion);
  for (int rank : ranks.here()) {
    absl::Status status = WriteRankFile(temporary, rank, store, part);
    if (absl::IsNotFound(status) && !ranks.has_root()) {
      return absl::Status(status.code(), absl::StrCat(status.message(), kShared));
    }
    MR_RETURN_IF_ERROR(status);
    ranks.seat(rank).whereabouts->Pass("CHECKPOINT");
  }
  return ranks.all_here() ? absl::OkStatus() : SyncFolder(temporary);
}

// In rank 0's process.
absl::StatusOr<std::string> Commit(const std::string& root, const std::string& temporary,
                                   const proto::CheckpointManifest& facts, const std::vector<std::string>& parts) {
  proto::CheckpointManifest manifest = facts;
  for (const std::string& bytes : parts) {
    proto::CheckpointManifest part;
    MR_RETURN_IF_ERROR(ParseMessage(bytes, "a part of the checkpoint", &part));
    manifest.mutable_files()->MergeFrom(part.files());
    manifest.mutable_pieces()->MergeFrom(part.pieces());
  }
  return CommitCheckpoint(root, temporary, std::move(manifest));
}

}  // namespace

absl::Status SaveTogether(const std::string& root, const absl::Status& ready, const proto::CheckpointManifest& facts,
                          const ParameterStore& store, Ranks* ranks) {
  MR_RETURN_IF_ERROR(AllOk(ranks, ready));
  const bool leads = ranks->has_root();
  MR_ASSIGN_OR_RETURN(const std::string temporary,
                      FromRoot(ranks, leads ? BeginCheckpoint(root, facts.step()) : std::string()));
  absl::Cleanup abandon = [&] {
    if (leads) AbandonCheckpoint(temporary);
  };
  proto::CheckpointManifest part;
  MR_RETURN_IF_ERROR(AllOk(ranks, WriteFilesHere(temporary, store, *ranks, &part)));
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> parts, GatherAtRoot(ranks, CanonicalBytes(part)));
  if (leads) ranks->seat(0).whereabouts->Pass("COMMIT");
  MR_RETURN_IF_ERROR(FromRoot(ranks, leads ? Commit(root, temporary, facts, parts) : std::string()).status());
  std::move(abandon).Cancel();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ResumeTogether(const absl::StatusOr<std::string>& roots, Ranks* ranks) {
  MR_ASSIGN_OR_RETURN(const std::string folder, FromRoot(ranks, roots));
  if (folder.empty() || ranks->all_here()) return folder;
  const absl::StatusOr<proto::CheckpointManifest> mine = ReadManifest(folder);
  absl::Status status = mine.status();
  if (absl::IsNotFound(status)) {
    status = absl::FailedPreconditionError(absl::StrCat(status.message(), kShared));
  }
  MR_RETURN_IF_ERROR(AllOk(ranks, status));
  MR_ASSIGN_OR_RETURN(const std::string digest, FromRoot(ranks, mine->digest()));
  if (digest != mine->digest()) {
    status = absl::FailedPreconditionError(
        absl::StrCat(folder, ": is another checkpoint here than where rank 0 looks", kShared));
  }
  MR_RETURN_IF_ERROR(AllOk(ranks, status));
  return folder;
}

}  // namespace millrace
