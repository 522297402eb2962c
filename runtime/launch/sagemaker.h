// SageMaker's contract beyond ranks: where its container keeps things, and hyperparameters as flags.
#ifndef RUNTIME_LAUNCH_SAGEMAKER_H_
#define RUNTIME_LAUNCH_SAGEMAKER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/launch/launch_environment.h"

namespace millrace {

// "/opt/ml", or what SAGEMAKER_BASE_DIR says; without the environment's root.
std::string SageMakerFolder(const LaunchEnvironment& environment);

// Whether this process runs in a training container of SageMaker: its resourceconfig.json is there.
bool IsSageMaker(const LaunchEnvironment& environment);

// (name, value) in the order of names, from hyperparameters.json; SageMaker's own (sagemaker_*) left out. A value may
// be plain text, JSON inside a string ("32", "\"cosine\"", "[1,2]") or JSON itself: all three give the same. A list
// becomes "a,b"; an object is refused. `text` is the file, `from` its name for messages. INVALID_ARGUMENT.
using Hyperparameters = std::vector<std::pair<std::string, std::string>>;
absl::StatusOr<Hyperparameters> ParseHyperparameters(absl::string_view text, absl::string_view from);

// The arguments of `millrace train` in a container of SageMaker: hyperparameters as flags; where none says otherwise,
// --data is the channel "train" (its only file, or the folder), --validation the channel "validation", --plan the only
// file of the channel "plan", --job that of the channel "job", --out the checkpoint folder that SageMaker keeps, and
// --resume=auto.
absl::StatusOr<std::vector<std::string>> SageMakerTrainArguments(const LaunchEnvironment& environment);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_SAGEMAKER_H_
