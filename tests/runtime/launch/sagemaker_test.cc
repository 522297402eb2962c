// SageMaker's files: hosts, hyperparameters in every encoding, and the flags that come of them.
#include "runtime/launch/sagemaker.h"

#include <gmock/gmock.h>

#include "tests/runtime/launch/environments.h"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

constexpr char kResources[] = "/opt/ml/input/config/resourceconfig.json";
constexpr char kHosts[] = R"({"current_host": "algo-2", "hosts": ["algo-2", "algo-1"], "network_interface_name": "eth0",
    "current_instance_type": "ml.c5.xlarge", "current_group_name": "homogeneousCluster",
    "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.xlarge",
                         "hosts": ["algo-2", "algo-1"]}]})";

LaunchEnvironment Container(const std::string& resources = kHosts) {
  LaunchEnvironment environment = With({});
  environment.root = FreshFolder();
  PutFile(environment, kResources, resources);
  return environment;
}

std::string ResourceRefusal(const std::string& text) { return Refusal(Container(text)); }

TEST(SageMaker, HostsAreCountedInTheirOrder) {
  const LaunchContract contract = Detected(Container());
  EXPECT_EQ(Place(contract), "1/2 local 0/1 machine 1/2");
  EXPECT_EQ(Meeting(contract), "algo-1:7777");
  EXPECT_EQ(contract.source_key, "sagemaker");
}

TEST(SageMaker, AVariableSaysWhichHostThisIs) {
  LaunchEnvironment environment = Container();
  environment.variables["SM_CURRENT_HOST"] = "algo-1";
  EXPECT_EQ(Detected(environment).rank, 0);
}

TEST(SageMaker, VariablesStandForTheFile) {
  EXPECT_EQ(Place(Detected({{"SM_HOSTS", R"(["algo-1","algo-2","algo-3"])"}, {"SM_CURRENT_HOST", "algo-3"}})),
            "2/3 local 0/1 machine 2/3");
}

TEST(SageMaker, AnotherBaseFolder) {
  LaunchEnvironment environment = With({{"SAGEMAKER_BASE_DIR", "/base"}});
  environment.root = FreshFolder();
  PutFile(environment, "/base/input/config/resourceconfig.json", kHosts);
  EXPECT_EQ(Detected(environment).rank, 1);
}

TEST(SageMaker, TorchrunInsideCountsRanksOfItsHosts) {
  LaunchEnvironment environment = Container();
  environment.variables = {
      {"TORCHELASTIC_RUN_ID", "x"}, {"RANK", "3"},       {"WORLD_SIZE", "4"},       {"LOCAL_RANK", "1"},
      {"LOCAL_WORLD_SIZE", "2"},    {"GROUP_RANK", "1"}, {"GROUP_WORLD_SIZE", "2"}, {"MASTER_ADDR", "algo-1"},
      {"MASTER_PORT", "7777"}};
  EXPECT_EQ(Detected(environment).rank, 3);
}

TEST(SageMaker, WrongFilesAreRefused) {
  EXPECT_THAT(ResourceRefusal(""), HasSubstr("resourceconfig.json"));
  EXPECT_THAT(ResourceRefusal(R"({"hosts": [], "current_host": "a"})"), HasSubstr("hosts"));
  EXPECT_THAT(ResourceRefusal(R"({"hosts": ["a", "a"], "current_host": "a"})"), HasSubstr("twice"));
  EXPECT_THAT(ResourceRefusal(R"({"hosts": ["a", 7], "current_host": "a"})"), HasSubstr("no text"));
  EXPECT_THAT(ResourceRefusal(R"({"hosts": ["a"], "current_host": "b"})"), HasSubstr("'b'"));
  EXPECT_THAT(ResourceRefusal(R"({"hosts": ["a"]})"), HasSubstr("current_host"));
  EXPECT_THAT(ResourceRefusal(R"j({"hosts": ["$(id)"], "current_host": "$(id)"})j"), HasSubstr("host name"));
}

TEST(SageMaker, EveryCutOfTheFileIsRefused) {
  LaunchEnvironment environment = Container();
  const std::string text = kHosts;
  for (size_t n = 0; n + 1 < text.size(); ++n) {
    PutFile(environment, kResources, text.substr(0, n));
    EXPECT_FALSE(DetectLaunch(environment).ok()) << n << " bytes";
  }
}

TEST(Hyperparameters, ThreeEncodingsGiveTheSame) {
  for (const char* text :
       {R"({"steps": "32", "learning-rate": "1e-3", "schedule": "cosine", "shuffle": "true"})",
        R"({"steps": "\"32\"", "learning-rate": "\"1e-3\"", "schedule": "\"cosine\"", "shuffle": "true"})",
        R"({"steps": 32, "learning-rate": "1e-3", "schedule": "\"cosine\"", "shuffle": true})"}) {
    const absl::StatusOr<Hyperparameters> got = ParseHyperparameters(text, "file");
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_THAT(*got, ElementsAre(Pair("learning-rate", "1e-3"), Pair("schedule", "cosine"), Pair("shuffle", "true"),
                                  Pair("steps", "32")));
  }
}

TEST(Hyperparameters, ListsNothingAndSageMakersOwn) {
  const absl::StatusOr<Hyperparameters> got = ParseHyperparameters(
      R"({"a": "[\"x\",\"y\"]", "b": [1, 2], "c": null, "d": "two words", "sagemaker_region": "\"eu\"", "e": ""})",
      "file");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(*got,
              ElementsAre(Pair("a", "x,y"), Pair("b", "1,2"), Pair("c", ""), Pair("d", "two words"), Pair("e", "")));
}

TEST(Hyperparameters, WrongOnesAreRefused) {
  for (const char* text :
       {"", "[]", "{", R"({"a": {"b": 1}})", R"({"a": "{\"b\": 1}"})", R"({"a": [[1]]})", R"({"": "1"})",
        R"({"-a": "1"})", R"({"a b": "1"})", R"({"a=b": "1"})", R"({"a": "\u0000"})"}) {
    const absl::Status status = ParseHyperparameters(text, "file").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(ParseHyperparameters(R"({"a": ")" + std::string(3000, 'x') + "\"}", "file").ok());
}

TEST(TrainArguments, ChannelsBecomeFlags) {
  LaunchEnvironment environment = Container();
  PutFile(environment, "/opt/ml/input/config/hyperparameters.json", R"({"steps": "\"20\"", "comm": "gloo"})");
  PutFile(environment, "/opt/ml/input/data/train/book.txt", "text");
  PutFile(environment, "/opt/ml/input/data/plan/gpt.plan", "plan");
  const std::string base = environment.root + "/opt/ml";
  EXPECT_THAT(
      SageMakerTrainArguments(environment).value(),
      ElementsAre("--data=" + base + "/input/data/train/book.txt", "--plan=" + base + "/input/data/plan/gpt.plan",
                  "--out=" + base + "/checkpoints", "--resume=auto", "--comm=gloo", "--steps=20"));
}

TEST(TrainArguments, HyperparametersWin) {
  LaunchEnvironment environment = Container();
  PutFile(environment, "/opt/ml/input/config/hyperparameters.json",
          R"({"out": "/elsewhere", "resume": "", "data": "synthetic"})");
  PutFile(environment, "/opt/ml/input/data/train/a.bin", "1");
  PutFile(environment, "/opt/ml/input/data/train/b.bin", "2");
  PutFile(environment, "/opt/ml/input/data/validation/a.bin", "2");
  PutFile(environment, "/opt/ml/input/data/validation/b.bin", "2");
  const std::vector<std::string> arguments = SageMakerTrainArguments(environment).value();
  EXPECT_THAT(arguments, Contains("--out=/elsewhere"));
  EXPECT_THAT(arguments, Contains("--data=synthetic"));
  EXPECT_THAT(arguments, Contains("--validation=" + environment.root + "/opt/ml/input/data/validation"));
  EXPECT_THAT(arguments, Not(Contains(HasSubstr("/data/train"))));
}

}  // namespace
}  // namespace millrace
