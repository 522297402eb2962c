// One local process with everything it starts: begun, signalled and buried as a group, and never outliving its parent.
#ifndef RUNTIME_SUPERVISE_CHILD_H_
#define RUNTIME_SUPERVISE_CHILD_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace millrace {

struct ChildOptions {
  std::vector<std::string> command;      // the program is looked for in PATH unless it has a '/'
  std::vector<std::string> environment;  // all of it, "NAME=value"
  int out = -1, err = -1;                // descriptors that become its stdout and stderr; stdin is /dev/null
  int keep = -1;                         // a descriptor that it inherits under the same number; all others are closed
};

// How a process ended.
struct ChildEnd {
  bool by_signal = false;
  int code = 0;  // the signal, or the exit code

  bool ok() const { return !by_signal && code == 0; }
  std::string ToString() const;  // "was killed by SIGKILL", "exited with code 3"
};

// Used by the thread that started it, which must stay alive as long as the child does: the kernel kills the child when
// that thread ends, so that not even a SIGKILL of the parent leaves it behind.
class Child {
 public:
  // NOT_FOUND or PERMISSION_DENIED when the program cannot be run.
  static absl::StatusOr<Child> Start(const ChildOptions& options);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  // Kills what is left and waits for it.
  ~Child();

  int pid() const { return pid_; }
  // Readable for poll() once the process has ended.
  int descriptor() const { return pidfd_; }
  // To the process and to all that it started in its process group.
  void Signal(int signal);
  // The end, once: when the process has ended, its group is killed and it is buried. Nothing before and after.
  std::optional<ChildEnd> TakeEnd();
  // Whether it is stopped by a signal or a debugger.
  bool IsStopped() const;

 private:
  Child(int pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}
  std::optional<ChildEnd> Bury(bool wait);

  int pid_;  // -1: buried
  int pidfd_;
};

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_CHILD_H_
