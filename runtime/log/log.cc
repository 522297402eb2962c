#include "runtime/log/log.h"

#include <atomic>
#include <cstdio>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace millrace {
namespace {

constexpr absl::string_view kNames[] = {"error", "warning", "info", "debug"};

std::atomic<int> level_limit{static_cast<int>(LogLevel::kInfo)};
thread_local int log_rank = -1;

using Sink = std::function<void(LogLevel, const std::string&)>;

ABSL_CONST_INIT absl::Mutex sink_mutex(absl::kConstInit);

Sink& CurrentSink() {
  static Sink* const sink = new Sink();
  return *sink;
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name) {
  for (int i = 0; i < 4; ++i) {
    if (name == kNames[i]) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a log level; there are error, warning, info, debug"));
}

void SetLogLevel(LogLevel level) { level_limit = static_cast<int>(level); }

bool LogsAt(LogLevel level) { return static_cast<int>(level) <= level_limit; }

void SetLogRank(int rank) { log_rank = rank; }

void Log(LogLevel level, absl::string_view message) {
  if (!LogsAt(level)) return;
  std::string line = absl::StrCat(kNames[static_cast<int>(level)], ": ");
  if (log_rank >= 0) absl::StrAppend(&line, "rank ", log_rank, ": ");
  absl::StrAppend(&line, message);
  absl::MutexLock lock(&sink_mutex);
  if (CurrentSink()) {
    CurrentSink()(level, line);
    return;
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void SetLogSink(Sink sink) {
  absl::MutexLock lock(&sink_mutex);
  CurrentSink() = std::move(sink);
}

}  // namespace millrace
