// A pipe whose lines come out again with a prefix: "[rank 2] loss 3.21".
#ifndef RUNTIME_SUPERVISE_PREFIXED_LINES_H_
#define RUNTIME_SUPERVISE_PREFIXED_LINES_H_

#include <string>

#include "absl/status/statusor.h"

namespace millrace {

// Used by one thread.
class PrefixedLines {
 public:
  // A line longer than this comes out in pieces.
  static constexpr size_t kMostLineBytes = size_t{64} << 10;

  // Lines go to `out`, each in one write. Once nobody reads there they are dropped, so that the child can go on.
  static absl::StatusOr<PrefixedLines> Open(std::string prefix, int out);
  PrefixedLines(PrefixedLines&& other) noexcept;
  PrefixedLines& operator=(PrefixedLines&&) = delete;
  ~PrefixedLines();

  int source() const { return source_; }  // the end to read, for poll(); -1 once it is closed
  int sink() const { return sink_; }      // the end to write, for the child
  void CloseSink();                       // in the parent, when the child has it
  // Takes what is there. A line without its end comes out when the pipe is closed, or with Flush.
  void Pump();
  void Flush();

 private:
  PrefixedLines(std::string prefix, int out, int source, int sink)
      : prefix_(std::move(prefix)), out_(out), source_(source), sink_(sink) {}
  void Emit(const char* line, size_t bytes);

  const std::string prefix_;
  const int out_;
  int source_, sink_;
  std::string rest_;  // a line without its end
};

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_PREFIXED_LINES_H_
