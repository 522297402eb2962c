// Where a process looks for what its launcher said: variables, files, a cloud's metadata server, and its own flags.
// Everything in it was written by somebody else, and is hostile until a reader of runtime/launch has checked it.
//
// A value, so that tests give exact ones: no other file of this package reads the real environment.
#ifndef RUNTIME_LAUNCH_LAUNCH_ENVIRONMENT_H_
#define RUNTIME_LAUNCH_LAUNCH_ENVIRONMENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace millrace {

// What the command line said of the launch; -1 and "" are "nothing".
struct LaunchFlags {
  int64_t rank = -1, size = -1, local_rank = -1;
  std::string coordinator;  // host:port
};

struct LaunchEnvironment {
  LaunchFlags flags;
  std::map<std::string, std::string> variables;
  std::string host_name;
  std::string root;          // put before every absolute path that is read: "" is the machine's own
  std::string metadata_url;  // "http://host:port" of a cloud's metadata server; "": as variables say
  absl::Duration metadata_timeout = absl::Seconds(2);  // of one question, name look-up not included
  int cores = 1;                                       // that this process may use (cores.h)

  // nullptr when it is not set; one that is set to nothing is "".
  const std::string* Find(absl::string_view name) const;
  bool Has(absl::string_view name) const { return Find(name) != nullptr; }
  // A small file under `root`. NOT_FOUND, or what is wrong with it.
  absl::StatusOr<std::string> ReadSmallFile(absl::string_view absolute_path) const;
};

// The real one: `environ`, the host's name, the machine's own files, the cores that may be used.
LaunchEnvironment ThisProcessEnvironment(LaunchFlags flags = {});

// A hostile text as it may stand in a one-line message: quoted, escaped, cut after 60 bytes.
std::string QuotedValue(absl::string_view text);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_LAUNCH_ENVIRONMENT_H_
