#include "runtime/supervise/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* const path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    const std::string file = absl::StrCat(folder.empty() ? "." : folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return CannotRead(ENOENT, absl::StrCat(name, ": there is no such program in PATH"));
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child needs between fork and exec, where nothing may allocate or lock.
struct Launch {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int out, err, keep;
  int failure;  // closed by exec, or the errno is written into it
  pid_t parent;
};

// In the child. Calls only what is safe after fork in a process with threads.
[[noreturn]] void Become(const Launch& launch) {
  const auto fail = [&launch] {
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(launch.failure, &error, sizeof(error));
    _exit(127);
  };
  setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail();
  if (getppid() != launch.parent) _exit(127);  // the parent died before the kernel was told
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(launch.out, 1) < 0 || dup2(launch.err, 2) < 0) fail();
  syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (launch.keep >= 0 && fcntl(launch.keep, F_SETFD, 0) != 0) fail();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2}) {
    ::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(launch.program, launch.arguments, launch.environment);
  fail();
  _exit(127);
}

}  // namespace

std::string ChildEnd::ToString() const {
  if (!by_signal) return absl::StrCat("exited with code ", code);
  const char* const name = sigabbrev_np(code);
  return name != nullptr ? absl::StrCat("was killed by SIG", name) : absl::StrCat("was killed by signal ", code);
}

absl::StatusOr<Child> Child::Start(const ChildOptions& options) {
  if (options.command.empty()) return absl::InvalidArgumentError("there is no command to run");
  MR_ASSIGN_OR_RETURN(const std::string program, FindProgram(options.command[0]));
  const std::vector<char*> arguments = Pointers(options.command);
  const std::vector<char*> environment = Pointers(options.environment);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");

  // No handler of this process may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const Launch launch{program.c_str(), arguments.data(), environment.data(), options.out,
                      options.err,     options.keep,     failure[1],         getpid()};
  const pid_t pid = fork();
  if (pid == 0) Become(launch);
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(failure[1]);
  if (pid < 0) {
    close(failure[0]);
    return absl::ErrnoToStatus(fork_error, "cannot start a process");
  }
  setpgid(pid, pid);  // here too: a signal may be sent before the child gets to it
  Child child(pid, static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const int pidfd_error = errno;
  int error = 0;
  ssize_t got;
  while ((got = read(failure[0], &error, sizeof(error))) < 0 && errno == EINTR) {
  }
  close(failure[0]);
  if (got == sizeof(error)) return CannotRead(error, absl::StrCat(program, ": cannot be run"));
  if (child.pidfd_ < 0) return absl::ErrnoToStatus(pidfd_error, "the kernel gives no descriptor of a process");
  return child;
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::exchange(other.pidfd_, -1)) {}

Child::~Child() {
  if (pid_ > 0) {
    Signal(SIGKILL);
    Bury(/*wait=*/true);
  }
  if (pidfd_ >= 0) close(pidfd_);
}

void Child::Signal(int signal) {
  if (pid_ > 0) kill(-pid_, signal);
}

std::optional<ChildEnd> Child::TakeEnd() { return pid_ > 0 ? Bury(/*wait=*/false) : std::nullopt; }

std::optional<ChildEnd> Child::Bury(bool wait) {
  siginfo_t end{};
  while (waitid(P_PID, pid_, &end, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG)) != 0 && errno == EINTR) {
  }
  if (end.si_pid == 0) return std::nullopt;
  kill(-pid_, SIGKILL);  // while the dead leader still keeps the group's number from being used again
  waitid(P_PID, pid_, &end, WEXITED);
  pid_ = -1;
  return ChildEnd{end.si_code != CLD_EXITED, end.si_status};
}

bool Child::IsStopped() const {
  if (pid_ <= 0) return false;
  const int fd = open(absl::StrCat("/proc/", pid_, "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[512];
  const ssize_t n = read(fd, text, sizeof(text));
  close(fd);
  const absl::string_view stat(text, n > 0 ? n : 0);
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  return name_end != absl::string_view::npos && name_end + 2 < stat.size() &&
         (stat[name_end + 2] == 'T' || stat[name_end + 2] == 't');
}

}  // namespace millrace
