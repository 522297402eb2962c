// What a failed job leaves for its launcher.
#include "runtime/launch/failure_report.h"

#include <gmock/gmock.h>

#include "nlohmann/json.hpp"
#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

LaunchEnvironment Empty() {
  LaunchEnvironment environment = With({});
  environment.root = FreshFolder();
  return environment;
}

std::vector<std::string> Report(const LaunchEnvironment& environment, const std::string& message) {
  return ReportFailure(environment, absl::DataLossError(message), 65, kNow);
}

TEST(FailureReport, WithoutALauncherNothingIsWritten) {
  const LaunchEnvironment environment = Empty();
  EXPECT_THAT(Report(environment, "the disk is full"), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(environment.root));
}

TEST(FailureReport, TorchrunsErrorFile) {
  LaunchEnvironment environment = Empty();
  const std::string path = environment.root + "/error.json";
  environment.variables["TORCHELASTIC_ERROR_FILE"] = path;
  EXPECT_THAT(Report(environment, "rank 1: edge \"h\" \xff"), IsEmpty());
  const nlohmann::json report = nlohmann::json::parse(Contents(path));
  EXPECT_THAT(report["message"]["message"].get<std::string>(), HasSubstr("rank 1: edge \"h\""));
  EXPECT_EQ(report["message"]["errorCode"], 65);
  EXPECT_EQ(report["message"]["extraInfo"]["timestamp"], "1700000000");
}

TEST(FailureReport, TerminationMessageIsCut) {
  const LaunchEnvironment environment = Empty();
  PutFile(environment, "/dev/termination-log", std::string(9000, 'o'));
  EXPECT_THAT(Report(environment, std::string(5000, 'x')), IsEmpty());
  const std::string text = Contents(environment.root + "/dev/termination-log");
  EXPECT_EQ(text.size(), 4096u);
  EXPECT_EQ(text.substr(0, 11), "millrace: x");
}

TEST(FailureReport, TerminationLogThatIsNoFileIsLeftAlone) {
  const LaunchEnvironment environment = Empty();
  PutFile(environment, "/target", "kept");
  std::filesystem::create_directories(environment.root + "/dev");
  std::filesystem::create_symlink("../target", environment.root + "/dev/termination-log");
  EXPECT_THAT(Report(environment, "x"), IsEmpty());
  EXPECT_EQ(Contents(environment.root + "/target"), "kept");
}

TEST(FailureReport, SageMakerKeeps1024BytesOfWholeCharacters) {
  const LaunchEnvironment environment = Empty();
  PutFile(environment, "/opt/ml/input/config/resourceconfig.json", "{}");
  std::filesystem::create_directories(environment.root + "/opt/ml/output");
  std::string message;
  while (message.size() < 3000) message += "\xc3\xa9";  // two bytes each
  EXPECT_THAT(Report(environment, message), IsEmpty());
  const std::string text = Contents(environment.root + "/opt/ml/output/failure");
  EXPECT_LE(text.size(), 1024u);
  EXPECT_GE(text.size(), 1022u);
  EXPECT_EQ(text.substr(text.size() - 2), "\xc3\xa9");
}

TEST(FailureReport, APlaceThatCannotBeWrittenDoesNotStopTheOthers) {
  LaunchEnvironment environment = Empty();
  environment.variables["TORCHELASTIC_ERROR_FILE"] = environment.root + "/missing/error.json";
  PutFile(environment, "/dev/termination-log", "");
  EXPECT_THAT(Report(environment, "why"), Contains(HasSubstr("missing/error.json")));
  EXPECT_THAT(Contents(environment.root + "/dev/termination-log"), HasSubstr("why"));
}

}  // namespace
}  // namespace millrace
