// Messages for the person who watches a run: one line on stderr, with a level and the rank it comes from.
//
//   warning: rank 3: waits 10 s for edge h of micro-batch 7 at instruction 41
#ifndef RUNTIME_LOG_LOG_H_
#define RUNTIME_LOG_LOG_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

enum class LogLevel { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

// "error", "warning", "info", "debug"; INVALID_ARGUMENT lists them.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name);

// Lines above this level are dropped. Default: info. Thread-safe.
void SetLogLevel(LogLevel level);
bool LogsAt(LogLevel level);

// The rank that the calling thread works for, -1 (the default) for none: the prefix of its lines.
void SetLogRank(int rank);

// One line, written whole. `message` has no line end of its own, or several lines that belong together. Thread-safe.
void Log(LogLevel level, absl::string_view message);

// Where lines go instead of stderr; nullptr restores stderr. A terminal's progress line uses it to keep out of the way, tests
// to read what was said. The sink gets the whole line without its end, and is called by one thread at a time.
void SetLogSink(std::function<void(LogLevel, const std::string& line)> sink);

}  // namespace millrace

#endif  // RUNTIME_LOG_LOG_H_
