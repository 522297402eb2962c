// Checkpoints of a run whose ranks are in several processes, on a file system that all of them see.
#ifndef RUNTIME_JOB_SHARED_CHECKPOINT_H_
#define RUNTIME_JOB_SHARED_CHECKPOINT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/checkpoint.pb.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Every process calls it, as in agree.h. Each writes the files of its ranks; rank 0's process commits them under `root`
// once all are on the disk, and not when anything failed anywhere: then every process gets that error, and nothing that
// was there before is touched. `ready`: an error of this process that forbids the save. The same bytes, however many
// processes there are. `root` counts in rank 0's process.
absl::Status SaveTogether(const std::string& root, const absl::Status& ready, const proto::CheckpointManifest& facts,
                          const ParameterStore& store, Ranks* ranks);

// Where every process is to resume from: `roots` is the answer of rank 0's process, a checkpoint's folder or empty for
// none. Returns it everywhere, after each process has found the same checkpoint there; FAILED_PRECONDITION where one
// sees another or none.
absl::StatusOr<std::string> ResumeTogether(const absl::StatusOr<std::string>& roots, Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_SHARED_CHECKPOINT_H_
