#include "runtime/job/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/data/regular_file.h"

namespace millrace {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

absl::StatusOr<std::vector<std::string>> RowsToKeep(const std::string& path, absl::string_view header,
                                                    uint64_t keep_through) {
  std::vector<std::string> kept;
  if (!Exists(path)) return kept;
  MR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  lines.pop_back();  // what follows the last line end: nothing, or a row cut short
  if (lines.empty()) return kept;
  if (lines[0] != header) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": its first line is '", lines[0].substr(0, 100),
                                                      "', not '", header, "': not this program's file; move it away"));
  }
  uint64_t last = 0;
  for (size_t i = 1; i < lines.size(); ++i) {
    uint64_t step = 0;
    const bool good = absl::SimpleAtoi(lines[i].substr(0, lines[i].find(',')), &step);
    if (!good || step > keep_through || (!kept.empty() && step <= last)) break;
    kept.push_back(lines[i]);
    last = step;
  }
  return kept;
}

}  // namespace

std::string MetricsRow(uint64_t step, const std::vector<double>& numbers) {
  std::string row = absl::StrCat(step);
  for (double number : numbers) absl::StrAppendFormat(&row, ",%.9g", number);
  return row;
}

absl::StatusOr<std::unique_ptr<MetricsFile>> MetricsFile::Open(const std::string& path, absl::string_view header,
                                                               uint64_t keep_through) {
  MR_ASSIGN_OR_RETURN(std::vector<std::string> kept, RowsToKeep(path, header, keep_through));
  MR_RETURN_IF_ERROR(
      WriteFileAtomically(path, absl::StrCat(header, "\n", absl::StrJoin(kept, "\n"), kept.empty() ? "" : "\n")));
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(path, ": cannot open"));
  std::unique_ptr<MetricsFile> file(new MetricsFile(path, fd));
  file->kept_rows_ = std::move(kept);
  return file;
}

MetricsFile::~MetricsFile() { close(fd_); }

absl::Status MetricsFile::Append(uint64_t step, const std::vector<double>& numbers) {
  const std::string row = absl::StrCat(MetricsRow(step, numbers), "\n");
  size_t done = 0;
  while (done < row.size()) {
    const ssize_t n = write(fd_, row.data() + done, row.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return CannotWrite(n < 0 ? errno : ENOSPC, absl::StrCat(path_, ": cannot write step ", step));
    done += n;
  }
  return absl::OkStatus();
}

absl::Status MetricsFile::Sync() {
  if (fsync(fd_) != 0) return CannotWrite(errno, absl::StrCat(path_, ": fsync"));
  return absl::OkStatus();
}

double NumberInRow(absl::string_view row, int column) {
  const std::vector<absl::string_view> cells = absl::StrSplit(row, ',');
  double number = 0;
  if (column < cells.size() && absl::SimpleAtod(cells[column], &number)) return number;
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace millrace
