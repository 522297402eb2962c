// The folder of a run: what lies where, and the rule that no run overwrites another.
#ifndef RUNTIME_JOB_RUN_FOLDER_H_
#define RUNTIME_JOB_RUN_FOLDER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Open and locked: a second process that opens the same folder is refused for as long as this one lives.
//
//   plan.pb model.pb job.pb        what is run
//   metrics.csv held_out.csv       one row for each step; for each evaluation
//   predicted.pb trace-step-N.pb   StepTraces
//   checkpoint/step-N/             runtime/checkpoint
//   weights.safetensors sample.txt summary.json   at the end
class RunFolder {
 public:
  // Makes the folder if need be. ALREADY_EXISTS when it holds a run and `continues` is false. ABORTED when another
  // process is at work in it.
  static absl::StatusOr<RunFolder> Open(const std::string& path, bool continues);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const;
  std::string Checkpoints() const { return File("checkpoint"); }
  std::string Trace(uint64_t step) const;

 private:
  RunFolder(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
};

struct ResumePoint {
  std::string checkpoint;  // folder
  bool in_place = false;   // it belongs to out_dir's own run
};

// What `resume` means: "" nothing; "auto" the newest whole checkpoint of out_dir, if any; otherwise a checkpoint's
// folder or a run's folder, whose newest whole one is taken. Broken ones that are passed over are logged. NOT_FOUND
// when a path is neither; FAILED_PRECONDITION when out_dir holds newer checkpoints than the one named.
absl::StatusOr<std::optional<ResumePoint>> FindResumePoint(const std::string& resume, const std::string& out_dir);

}  // namespace millrace

#endif  // RUNTIME_JOB_RUN_FOLDER_H_
