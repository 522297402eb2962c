#include "runtime/checkpoint/find.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/durable_file.h"
#include "runtime/data/regular_file.h"

namespace millrace {
namespace {

// "step-00000100" exactly, so that nothing a user named is taken for ours.
bool ParseName(absl::string_view name, uint64_t* step) {
  absl::string_view digits = name;
  return absl::ConsumePrefix(&digits, "step-") && absl::SimpleAtoi(digits, step) && CheckpointName(*step) == name;
}

// "step-00000100.tmp.1234"; `process` is who wrote there.
bool IsLeftover(absl::string_view name, pid_t* process) {
  const size_t at = name.find(".tmp.");
  uint64_t step = 0;
  return at != absl::string_view::npos && ParseName(name.substr(0, at), &step) &&
         absl::SimpleAtoi(name.substr(at + 5), process) && *process > 0;
}

}  // namespace

absl::StatusOr<std::vector<CheckpointFolder>> ListCheckpoints(const std::string& root) {
  std::vector<CheckpointFolder> found;
  if (!IsFolder(root)) return found;
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(root));
  for (const std::string& name : names) {
    uint64_t step = 0;
    const std::string path = absl::StrCat(root, "/", name);
    if (ParseName(name, &step) && IsFolder(path)) found.push_back({step, path});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

absl::StatusOr<FoundCheckpoint> NewestCheckpoint(const std::string& root) {
  MR_ASSIGN_OR_RETURN(const std::vector<CheckpointFolder> all, ListCheckpoints(root));
  FoundCheckpoint found;
  for (const CheckpointFolder& checkpoint : all) {
    const auto manifest = VerifyCheckpoint(checkpoint.path);
    if (manifest.ok() && manifest->step() == checkpoint.step) {
      found.path = checkpoint.path;
      return found;
    }
    found.broken.push_back(manifest.ok() ? absl::StrCat(checkpoint.path, ": holds step ", manifest->step())
                                         : std::string(manifest.status().message()));
  }
  if (found.broken.empty()) return absl::NotFoundError(absl::StrCat(root, ": holds no checkpoint"));
  return absl::DataLossError(
      absl::StrCat(root, ": none of the checkpoints is whole:\n  ", absl::StrJoin(found.broken, "\n  ")));
}

absl::Status RemoveAbandoned(const std::string& root) {
  if (!IsFolder(root)) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(root));
  for (const std::string& name : names) {
    pid_t process;
    if (!IsLeftover(name, &process) || kill(process, 0) == 0 || errno != ESRCH) continue;
    MR_RETURN_IF_ERROR(RemoveFolder(absl::StrCat(root, "/", name)));
  }
  return absl::OkStatus();
}

absl::Status KeepNewest(const std::string& root, int kept) {
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(root));
  for (const std::string& name : names) {
    pid_t process;
    if (IsLeftover(name, &process)) MR_RETURN_IF_ERROR(RemoveFolder(absl::StrCat(root, "/", name)));
  }
  MR_ASSIGN_OR_RETURN(const std::vector<CheckpointFolder> all, ListCheckpoints(root));
  if (kept <= 0 || all.size() <= static_cast<size_t>(kept)) return absl::OkStatus();
  MR_RETURN_IF_ERROR(VerifyCheckpoint(all[0].path).status());
  for (size_t i = kept; i < all.size(); ++i) {
    // Renamed first, so that a removal that is interrupted leaves no folder that looks like a checkpoint.
    const std::string leaving = absl::StrCat(all[i].path, ".tmp.", getpid());
    MR_RETURN_IF_ERROR(ReplaceFolder(all[i].path, leaving));
    MR_RETURN_IF_ERROR(RemoveFolder(leaving));
  }
  return absl::OkStatus();
}

}  // namespace millrace
