// Which rank this process is, of how many, and where the ranks meet: from the launcher that started it, whichever that
// is. Plain functions over a LaunchEnvironment; any thread.
#ifndef RUNTIME_LAUNCH_DETECT_H_
#define RUNTIME_LAUNCH_DETECT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/launch/claim.h"
#include "runtime/launch/launch_environment.h"
#include "runtime/launch/sources.h"

namespace millrace {

// What the launchers say, made whole and checked: rank + ranks_here <= size, local_rank < local_size <= size.
struct LaunchContract {
  std::string source = "single process";  // the first source that gave the rank
  std::string source_key = "single";
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among the ranks of this machine
  int node_rank = 0, nodes = 1;        // machines
  // > 1: the launcher starts one process a machine, and this one stands for ranks [rank, rank + ranks_here), which it
  // starts itself.
  int ranks_here = 1;
  // Where ranks meet; none where the launcher names no place (then only a transport that brings its own can serve).
  std::optional<Endpoint> coordinator;
  std::vector<std::string> evidence;  // a line for each fact: "rank 1: RANK=1 (torchrun or env://)"

  bool launched() const { return source_key != "single"; }
};

// One source's answer.
struct LaunchFinding {
  const LaunchSource* source = nullptr;
  absl::StatusOr<Claim> claim = Claim();
  bool asked = true;  // false: MILLRACE_LAUNCH names another source
};

// Every source's answer, in the documented order. Asks the metadata server where there is one, and waits for it at most
// metadata_timeout twice.
std::vector<LaunchFinding> AskLaunchers(const LaunchEnvironment& environment);

// Weighs the answers. Each fact is taken from the first source that says it. FAILED_PRECONDITION: a source's value
// cannot be; two sources disagree about rank, size or coordinator (both are shown, with where each stands); or the
// facts make no whole (a rank without a size). A launcher inside another one's task (torchrun under srun) agrees with
// it when the outer one counts machines as the inner one does.
absl::StatusOr<LaunchContract> WeighLaunchers(const LaunchEnvironment& environment,
                                              const std::vector<LaunchFinding>& findings);

// Both in one. With no launcher: a single process, rank 0 of 1.
absl::StatusOr<LaunchContract> DetectLaunch(const LaunchEnvironment& environment);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_DETECT_H_
