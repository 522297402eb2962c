#include "runtime/supervise/prefixed_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"

namespace millrace {
namespace {

void Close(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

}  // namespace

absl::StatusOr<PrefixedLines> PrefixedLines::Open(std::string prefix, int out) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe for a rank's output");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return PrefixedLines(std::move(prefix), out, ends[0], ends[1]);
}

PrefixedLines::PrefixedLines(PrefixedLines&& other) noexcept
    : prefix_(other.prefix_),
      out_(other.out_),
      source_(std::exchange(other.source_, -1)),
      sink_(std::exchange(other.sink_, -1)),
      rest_(std::move(other.rest_)) {}

PrefixedLines::~PrefixedLines() {
  Close(&source_);
  Close(&sink_);
}

void PrefixedLines::CloseSink() { Close(&sink_); }

void PrefixedLines::Pump() {
  char bytes[16384];
  while (source_ >= 0) {
    const ssize_t n = read(source_, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      Flush();
      Close(&source_);
      return;
    }
    rest_.append(bytes, n);
    size_t begin = 0;
    for (size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      Emit(rest_.data() + begin, end - begin);
    }
    rest_.erase(0, begin);
    if (rest_.size() > kMostLineBytes) Flush();
  }
}

void PrefixedLines::Flush() {
  if (!rest_.empty()) Emit(rest_.data(), rest_.size());
  rest_.clear();
}

void PrefixedLines::Emit(const char* line, size_t bytes) {
  std::string text = prefix_;
  text.append(line, bytes);
  text += '\n';
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(out_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += n;
  }
}

}  // namespace millrace
