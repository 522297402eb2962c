#include "runtime/job/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/durable_file.h"
#include "runtime/checkpoint/find.h"
#include "runtime/data/regular_file.h"
#include "runtime/log/log.h"

namespace millrace {
namespace {

constexpr const char* kFilesOfARun[] = {
    "plan.pb",    "model.pb",     "job.pb",    "metrics.csv", "held_out.csv", "predicted.pb", "weights.safetensors",
    "sample.txt", "summary.json", "checkpoint"};

bool SamePlace(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

absl::StatusOr<std::string> NewestIn(const std::string& root) {
  MR_ASSIGN_OR_RETURN(const FoundCheckpoint found, NewestCheckpoint(root));
  for (const std::string& why : found.broken) {
    Log(LogLevel::kWarning, absl::StrCat("passing over a broken checkpoint: ", why));
  }
  return found.path;
}

absl::StatusOr<std::string> CheckpointNamed(const std::string& path) {
  if (Exists(absl::StrCat(path, "/", kManifestName))) return path;
  const std::string root = absl::StrCat(path, "/checkpoint");
  if (IsFolder(root)) return NewestIn(root);
  return absl::NotFoundError(absl::StrCat(path, ": is neither a checkpoint (no ", kManifestName,
                                          ") nor a run's folder (no checkpoint/); --resume takes either, or auto"));
}

}  // namespace

absl::StatusOr<RunFolder> RunFolder::Open(const std::string& path, bool continues) {
  MR_RETURN_IF_ERROR(MakeFolder(path));
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(path, ": cannot open the folder"));
  RunFolder folder(path, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::AbortedError(
        absl::StrCat(path, ": another process is writing a run there; wait for it or choose another folder"));
  }
  for (const char* name : kFilesOfARun) {
    if (!continues && Exists(folder.File(name))) {
      return absl::AlreadyExistsError(absl::StrCat(path, ": already holds a run (", name,
                                                   "), which is never overwritten; choose another folder with ",
                                                   "--out, or continue that run with --resume=auto"));
    }
  }
  return folder;
}

RunFolder::RunFolder(RunFolder&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

RunFolder::~RunFolder() {
  if (fd_ >= 0) close(fd_);
}

std::string RunFolder::File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

std::string RunFolder::Trace(uint64_t step) const { return File(absl::StrFormat("trace-step-%08d.pb", step)); }

absl::StatusOr<std::optional<ResumePoint>> FindResumePoint(const std::string& resume, const std::string& out_dir) {
  if (resume.empty()) return std::optional<ResumePoint>();
  const std::string own = absl::StrCat(out_dir, "/checkpoint");
  if (resume == "auto") {
    absl::StatusOr<std::string> newest = NewestIn(own);
    if (absl::IsNotFound(newest.status())) return std::optional<ResumePoint>();
    MR_RETURN_IF_ERROR(newest.status());
    return std::optional<ResumePoint>(ResumePoint{*newest, true});
  }
  MR_ASSIGN_OR_RETURN(const std::string checkpoint, CheckpointNamed(resume));
  ResumePoint point{checkpoint, SamePlace(absl::StrCat(checkpoint, "/.."), own)};
  if (point.in_place) {
    MR_ASSIGN_OR_RETURN(const std::vector<CheckpointFolder> all, ListCheckpoints(own));
    if (!all.empty() && !SamePlace(all[0].path, checkpoint) && VerifyCheckpoint(all[0].path).ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(out_dir, ": holds a newer checkpoint (", all[0].path, ") than ", checkpoint,
                       ", which continuing here would overwrite; choose another folder with --out"));
    }
  }
  return std::optional<ResumePoint>(point);
}

}  // namespace millrace
