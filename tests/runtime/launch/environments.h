// Environments as launchers make them, and what a process makes of them.
#ifndef TESTS_RUNTIME_LAUNCH_ENVIRONMENTS_H_
#define TESTS_RUNTIME_LAUNCH_ENVIRONMENTS_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "runtime/launch/detect.h"
#include "tests/runtime/data/files.h"

namespace millrace {

using Variables = std::map<std::string, std::string>;

// These variables and nothing else: no files, no flags, a host of no launcher's naming.
inline LaunchEnvironment With(Variables variables) {
  LaunchEnvironment environment;
  environment.variables = std::move(variables);
  environment.root = "/nonexistent";
  environment.host_name = "somewhere";
  environment.cores = 2;
  return environment;
}

// A file under the environment's root, its folders made.
inline void PutFile(const LaunchEnvironment& environment, const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(environment.root + path).parent_path());
  Write(environment.root + path, text);
}

inline LaunchContract Detected(const LaunchEnvironment& environment) {
  const absl::StatusOr<LaunchContract> contract = DetectLaunch(environment);
  EXPECT_TRUE(contract.ok()) << contract.status();
  return contract.ok() ? *contract : LaunchContract();
}

inline LaunchContract Detected(Variables variables) { return Detected(With(std::move(variables))); }

// "" when it was not refused.
inline std::string Refusal(const LaunchEnvironment& environment) {
  const absl::StatusOr<LaunchContract> contract = DetectLaunch(environment);
  if (!contract.ok()) {
    EXPECT_EQ(contract.status().code(), absl::StatusCode::kFailedPrecondition);
  }
  return std::string(contract.status().message());
}

inline std::string Refusal(Variables variables) { return Refusal(With(std::move(variables))); }

inline std::string Place(const LaunchContract& contract) {
  return std::to_string(contract.rank) + "/" + std::to_string(contract.size) + " local " +
         std::to_string(contract.local_rank) + "/" + std::to_string(contract.local_size) + " machine " +
         std::to_string(contract.node_rank) + "/" + std::to_string(contract.nodes);
}

inline std::string Meeting(const LaunchContract& contract) {
  return contract.coordinator ? ToString(*contract.coordinator) : "none";
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_LAUNCH_ENVIRONMENTS_H_
