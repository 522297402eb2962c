#include "runtime/supervise/stop_signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/status/status.h"

namespace millrace {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

std::atomic<int> signal_sink{-1};

void Note(int signal) {
  const int error = errno;
  const char byte = static_cast<char>(signal);
  [[maybe_unused]] const ssize_t written = write(signal_sink.load(), &byte, 1);
  errno = error;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StopSignals>> StopSignals::Catch() {
  if (signal_sink.load() >= 0) return absl::FailedPreconditionError("one process supervises one job at a time");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe for signals");
  return std::unique_ptr<StopSignals>(new StopSignals(ends[0], ends[1]));
}

StopSignals::StopSignals(int source, int sink) : source_(source), sink_(sink) {
  signal_sink = sink;
  struct sigaction note {
  }, ignore{};
  note.sa_handler = &Note;
  note.sa_flags = SA_RESTART;
  ignore.sa_handler = SIG_IGN;
  for (size_t i = 0; i < before_.size(); ++i) {
    sigaction(kSignals[i], kSignals[i] == SIGPIPE ? &ignore : &note, &before_[i]);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < before_.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  signal_sink = -1;
  close(source_);
  close(sink_);
}

int StopSignals::Take() {
  char byte = 0;
  return read(source_, &byte, 1) == 1 ? byte : 0;
}

}  // namespace millrace
