// Tables of numbers, one row for each step, that survive a crash and are continued without duplicates.
#ifndef RUNTIME_JOB_METRICS_H_
#define RUNTIME_JOB_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

inline constexpr char kMetricsHeader[] =
    "step,loss,grad_norm,learning_rate,step_seconds,tokens_per_second,tokens,skipped,bubble";
inline constexpr char kHeldOutHeader[] = "step,loss,count";

// "12,4.12345679,0.5": the step, then each number with 9 significant digits, enough to tell every F32 from its
// neighbours.
std::string MetricsRow(uint64_t step, const std::vector<double>& numbers);

// A CSV file whose first column is the step. Each row is written whole as soon as it is appended.
class MetricsFile {
 public:
  // Continues the file, or begins it. Rows of steps after `keep_through` are dropped, and so is a last row that a crash
  // cut short. FAILED_PRECONDITION when the file has another header.
  static absl::StatusOr<std::unique_ptr<MetricsFile>> Open(const std::string& path, absl::string_view header,
                                                           uint64_t keep_through);
  ~MetricsFile();

  absl::Status Append(uint64_t step, const std::vector<double>& numbers);
  absl::Status Sync();  // on the disk: before a checkpoint that promises these rows
  const std::vector<std::string>& kept_rows() const { return kept_rows_; }

 private:
  MetricsFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  std::vector<std::string> kept_rows_;
};

// Column `column` of a row; NaN when it has no such number.
double NumberInRow(absl::string_view row, int column);

}  // namespace millrace

#endif  // RUNTIME_JOB_METRICS_H_
