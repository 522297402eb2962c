#include "tools/submit/run_program.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

extern char** environ;

namespace millrace {
namespace {

std::atomic<pid_t> running{0};

// A terminal sends SIGINT to both processes; whoever uses kill means the program behind this one.
void HandOn(int signal) {
  const pid_t child = running;
  if (child > 0) kill(child, signal);
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The environment with some variables replaced.
std::vector<std::string> EnvironmentWith(const std::vector<std::string>& variables) {
  std::vector<std::string> all = variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name =
        absl::StrCat(absl::string_view(*entry).substr(0, absl::string_view(*entry).find('=')), "=");
    bool replaced = false;
    for (const std::string& variable : variables) replaced = replaced || absl::StartsWith(variable, name);
    if (!replaced) all.push_back(*entry);
  }
  return all;
}

}  // namespace

std::string FindProgram(absl::string_view name) {
  if (absl::StrContains(name, "/")) return access(std::string(name).c_str(), X_OK) == 0 ? std::string(name) : "";
  const char* const path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    const std::string file = absl::StrCat(folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

absl::StatusOr<int> RunProgram(const std::vector<std::string>& argv, const std::vector<std::string>& variables) {
  const std::string file = FindProgram(argv[0]);
  if (file.empty()) return absl::NotFoundError(absl::StrCat(argv[0], " is not installed here"));
  const std::vector<std::string> environment = EnvironmentWith(variables);
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, file.c_str(), nullptr, nullptr, Pointers(argv).data(), Pointers(environment).data());
  if (failed != 0) return absl::UnavailableError(absl::StrCat(file, ": cannot start: ", std::strerror(failed)));
  running = child;
  const auto interrupt = std::signal(SIGINT, HandOn);
  const auto terminate = std::signal(SIGTERM, HandOn);
  int state = 0;
  while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  running = 0;
  std::signal(SIGINT, interrupt);
  std::signal(SIGTERM, terminate);
  return WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
}

}  // namespace millrace
